package membership_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/membership"
)

// Entries and marks that cannot be read are left out of the views, said in the
// log, and left as they are: the others are there all the same.
func TestUnknownFormatsAreLeftOut(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		var log bytes.Buffer
		store, err := memory.Open(server, &backend.Options{TTL: ttl, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		a := &process{t: t, server: server, driver: memory.NewDriver(server), store: store}
		if a.group, err = membership.New(a.store, "g", nil); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(a.stop)
		a.join("a")
		strange := map[string]string{
			"s~NONCE":      `{"format":2,"id":"s","incarnation":"i","update":0,"ttl_ms":1}`,
			"a~NONCE~left": `{"format":2,"id":"a","incarnation":"i"}`,
			"t~NONCE":      `x`,
			"u~NONCE":      `{"format":1,"id":"other","incarnation":"i","update":0,"ttl_ms":1}`,
		}
		for name, value := range strange {
			op := driver.Create("membership/g/members/"+name, []byte(value))
			if _, err := a.store.Commit(t.Context(), driver.Txn{Ops: []driver.Op{op}}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(10 * time.Minute) // marks of this format would be swept
		a.wantIDs("with strange entries", "a")
		for name, value := range strange {
			if entry, _, err := a.store.Get(t.Context(), "membership/g/members/"+name); err != nil || string(entry.Value) != value {
				t.Errorf("%s is %q now, %v", name, entry.Value, err)
			}
		}
		_ = store.Close()
		synctest.Wait()
		if n := strings.Count(log.String(), "an entry cannot be read and is left out"); n != len(strange) {
			t.Errorf("%d of %d are in the log:\n%s", n, len(strange), &log)
		}
	})
}

// A snapshot of an unknown format, whole as it is, is ignored. The next takes
// its place: it is this process's own, and of use for no other.
func TestSnapshotOfUnknownFormat(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		var log bytes.Buffer
		store, err := memory.Open(server, &backend.Options{TTL: ttl, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		body := []byte(`{"format":2,"namespace":"quorate","group":"g","as_of":"2000-01-01T00:00:00Z","members":[{"id":"z","incarnation":"I","update":0,"ttl_ms":10000,"registration":"z~N","rank":1}]}`)
		sum := sha256.Sum256(body)
		file := filepath.Join(t.TempDir(), "peers")
		if err := os.WriteFile(file, []byte(hex.EncodeToString(sum[:])+"\n"+string(body)), 0o600); err != nil {
			t.Fatal(err)
		}
		g, err := membership.New(store, "g", &membership.Options{SnapshotFile: file})
		if err != nil {
			t.Fatal(err)
		}
		if v := g.View(); len(v.Members) != 0 {
			t.Errorf("the view shows %q", ids(v))
		}
		if _, err := g.Join(t.Context(), membership.Member{ID: "a"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		now, err := os.ReadFile(file)
		if err != nil || !bytes.Contains(now, []byte(`{"format":1,`)) || !bytes.Contains(now, []byte(`"id":"a"`)) {
			t.Errorf("the snapshot is %s, %v", now, err)
		}
		_ = store.Close()
		synctest.Wait()
		if !strings.Contains(log.String(), "the snapshot is ignored") || !strings.Contains(log.String(), "found 2, this version reads 1") {
			t.Errorf("the log says:\n%s", &log)
		}
	})
}
