package membership_test

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/membership"
)

// saved runs a group until its snapshot is written, and takes the store away.
func saved(t *testing.T, server *memory.Server) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "peers")
	o, _, _ := crowd(t, server, &membership.Options{SnapshotFile: file}, "a", "b", "c")
	time.Sleep(2 * time.Second)
	synctest.Wait()
	_ = o.store.Close()
	server.SetDown(true)
	return file
}

func TestRestartDuringAnOutage(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		file := saved(t, server)
		time.Sleep(3 * ttl)
		p := start(t, server, &membership.Options{SnapshotFile: file})
		v := p.group.View()
		if ids(v) != "a b c" || v.Synced || !v.Stale || v.Age < 3*ttl || v.Age > 3*ttl+5*time.Second {
			t.Errorf("the view shows %q, synced %t, stale %t, aged %v", ids(v), v.Synced, v.Stale, v.Age)
		}
		if m, ok := v.Lookup("a"); !ok || m.Addr != "a:1" || m.Meta["v"] != "1" || m.TTL != ttl || m.Incarnation == "" {
			t.Errorf("Lookup = %+v, %t", m, ok)
		}
		seen := p.watch()
		time.Sleep(ttl)
		if list := seen.take(); len(list) != 1 || len(list[0].Change.Added) != 3 || !list[0].Stale {
			t.Errorf("the watch delivered %+v", list)
		}
		server.SetDown(false)
		time.Sleep(3 * ttl)
		seen.want(t, "since", "")
		if v := p.group.View(); ids(v) != "a b c" || !v.Synced || v.Stale {
			t.Errorf("after the return the view shows %q, synced %t, stale %t", ids(v), v.Synced, v.Stale)
		}
	})
}

// A snapshot is rewritten while nothing changes, so that its age tells when the
// process was last there.
func TestSnapshotIsKeptFresh(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		file := filepath.Join(t.TempDir(), "peers")
		o, _, _ := crowd(t, server, &membership.Options{SnapshotFile: file}, "a")
		time.Sleep(time.Hour)
		_ = o.store.Close()
		v := start(t, server, &membership.Options{SnapshotFile: file}).group.View()
		if ids(v) != "a" || v.Age > 2*time.Minute {
			t.Errorf("the snapshot shows %q, aged %v", ids(v), v.Age)
		}
		left, err := filepath.Glob(file + "?*")
		if err != nil || len(left) > 0 {
			t.Errorf("%q are left, %v", left, err)
		}
	})
}

func TestBadSnapshotsAreIgnored(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		good, err := os.ReadFile(saved(t, server))
		if err != nil {
			t.Fatal(err)
		}
		server.SetDown(false)
		sum, body, _ := bytes.Cut(good, []byte("\n"))
		change := func(old, fresh string) []byte {
			changed := bytes.Replace(body, []byte(old), []byte(fresh), 1)
			if bytes.Equal(changed, body) {
				t.Fatalf("%q is not in the snapshot", old)
			}
			return append(append(bytes.Clone(sum), '\n'), changed...)
		}
		bad := map[string][]byte{
			"empty":              {},
			"torn":               good[:len(good)/2],
			"torn at the end":    good[:len(good)-1],
			"longer":             append(bytes.Clone(good), '\n'),
			"a member changed":   change(`"id":"a"`, `"id":"x"`),
			"without a checksum": body,
			"foreign":            []byte("#!/bin/sh\necho hello\n"),
		}
		for cut := 1; cut < len(good); cut += 97 {
			bad["torn at "+strings.Repeat("x", cut%7)+string(rune('0'+cut%10))] = good[:cut]
		}
		check := func(what, group string, content []byte, wantIgnored bool) {
			t.Helper()
			file := filepath.Join(t.TempDir(), "peers")
			if content != nil {
				if err := os.WriteFile(file, content, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			var log bytes.Buffer
			store, err := memory.Open(memory.NewServer(), &backend.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			if err != nil {
				t.Fatal(err)
			}
			g, err := membership.New(store, group, &membership.Options{SnapshotFile: file})
			if err != nil {
				t.Fatal(err)
			}
			v := g.View()
			_ = store.Close()
			synctest.Wait()
			if ignored := len(v.Members) == 0; ignored != wantIgnored {
				t.Errorf("%s: ignored %t, want %t", what, ignored, wantIgnored)
			}
			if told := strings.Contains(log.String(), "snapshot is ignored"); told != (wantIgnored && content != nil) {
				t.Errorf("%s: the log says %s", what, log.String())
			}
		}
		check("the good one", "g", good, false)
		check("none", "g", nil, true)
		check("another group's", "h", good, true)
		for what, content := range bad {
			check(what, "g", content, true)
		}
	})
}

// A file that cannot be written is reported, and costs nothing else.
func TestSnapshotThatCannotBeWritten(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		file := filepath.Join(t.TempDir(), "no", "such", "directory")
		o, _, _ := crowd(t, server, &membership.Options{SnapshotFile: file}, "a")
		time.Sleep(time.Hour)
		o.wantIDs("afterwards", "a")
	})
}
