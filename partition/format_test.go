package partition_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/partition"
)

// newer is a document of a version to come.
const newer = `{"format":2,"slots":4}`

// putNewer writes newer to a key of the partition, over what is there.
func (p *process) putNewer(key string) {
	p.t.Helper()
	entry, found, err := p.store.Get(p.t.Context(), key)
	if err != nil {
		p.t.Fatal(err)
	}
	op := driver.Create(key, []byte(newer))
	if found {
		op = driver.Put(key, op.Value, entry.Version)
	}
	if result, err := p.store.Commit(p.t.Context(), driver.Txn{Ops: []driver.Op{op}}); err != nil || !result.Applied {
		p.t.Fatalf("put %s: %v, %v", key, result.Applied, err)
	}
}

// stands fails unless newer still is what putNewer wrote.
func (p *process) stands(key string) {
	p.t.Helper()
	if entry, _, err := p.store.Get(p.t.Context(), key); err != nil || string(entry.Value) != newer {
		p.t.Errorf("%s is %s now, %v", key, entry.Value, err)
	}
}

// A plan or a mark of an unknown format ends Run, before it has run anything
// or in the midst of it, and is left as it is.
func TestUnknownFormatIsRefused(t *testing.T) {
	for _, key := range []string{planKey, "partition/p/line/NONCE"} {
		for _, running := range []bool{false, true} {
			bubble(t, partition.Options{Slots: 4}, func(s *scene) {
				a, b := s.open("a"), s.open("b")
				if running {
					a.run()
					time.Sleep(5 * time.Second)
				}
				b.putNewer(key)
				if !running {
					a.run()
				}
				select {
				case err := <-a.done:
					if !errors.Is(err, backend.ErrFormat) {
						s.t.Errorf("Run with %s of another format = %v, want ErrFormat", key, err)
					}
					a.done <- context.Canceled // for what ends it once more
				case <-time.After(time.Hour):
					s.t.Errorf("Run goes on with %s of another format", key)
				}
				want := 0
				if running {
					want = 4
				}
				if n := s.count(); n != want {
					s.t.Errorf("%d bodies were run, want %d", n, want)
				}
				for _, sp := range s.spans {
					if !errors.Is(sp.cause, partition.ErrLost) || !errors.Is(sp.cause, backend.ErrFormat) {
						s.t.Errorf("a body's context ended with %v, want ErrLost for ErrFormat", sp.cause)
					}
				}
				if n := len(keysIn(s.server, "/claims/")); n != 0 {
					s.t.Errorf("%d claims are left", n)
				}
				b.stands(key)
			})
		}
	}
}

// Claims of an unknown format may hold any slot: until they are gone nothing is
// claimed. What runs goes on.
func TestClaimsOfUnknownFormatAreWaitedFor(t *testing.T) {
	const key = "partition/p/claims/z~NONCE"
	bubble(t, partition.Options{Slots: 4}, func(s *scene) {
		var log lockedBuffer
		s.store = &backend.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}
		a := s.start("a")
		time.Sleep(5 * time.Second)
		a.putNewer(key)
		b := s.start("b")
		time.Sleep(time.Minute)
		synctest.Wait()
		for k, who := range s.owners() {
			if who[0] != "a" {
				s.t.Errorf("slot %d is run by %q", k, who)
			}
		}
		if !strings.Contains(log.String(), "claims cannot be read: until they are gone nothing is claimed") {
			s.t.Error("the log does not say so")
		}
		a.stands(key)
		op := driver.Delete(key, backend.Version{})
		if _, err := a.store.Commit(s.t.Context(), driver.Txn{Ops: []driver.Op{op}}); err != nil {
			s.t.Fatal(err)
		}
		time.Sleep(time.Minute)
		s.wantShares("when they are gone", "a:2 b:2")
		b.stop()
		a.stop()
	})
}

// Owner stays with the plan that it could read.
func TestOwnerWithAPlanOfUnknownFormat(t *testing.T) {
	bubble(t, partition.Options{Slots: 4}, func(s *scene) {
		a, b := s.start("a"), s.open("b")
		b.part.Owner("x")
		time.Sleep(5 * time.Second)
		if m, ok := b.part.Owner("x"); !ok || m.ID != "a" {
			s.t.Fatalf("Owner = %+v, %v", m, ok)
		}
		a.stop()
		b.putNewer(planKey)
		time.Sleep(time.Second)
		m, ok := b.part.Owner("x")
		if ok {
			s.t.Errorf("Owner = %+v, who has left", m)
		}
		b.stands(planKey)
		b.part.Close()
	})
}

// lockedBuffer is a log that processes share.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
