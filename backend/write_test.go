package backend_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/faults"
	"github.com/quorate/quorate/backend/memory"
)

// has fails unless a key has a value.
func has(t *testing.T, s *backend.Store, key, want string) {
	t.Helper()
	if entry, found, err := s.Get(t.Context(), key); err != nil || !found || string(entry.Value) != want {
		t.Errorf("%s is %q, %t, %v, want %q", key, entry.Value, found, err, want)
	}
}

func TestPutUnderAGuard(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		s, d := open(t, server, nil)
		guard := owned(t, s, "office", "mine", "still mine")
		for _, value := range []string{"one", "two", "two"} {
			before := d.Stats()
			if err := s.Put(t.Context(), "reports/latest", []byte(value), guard); err != nil {
				t.Fatal(err)
			}
			has(t, s, "reports/latest", value)
			if after := d.Stats(); after.Commits-before.Commits != 1 || after.Reads-before.Reads != 2 {
				t.Errorf("%d commits and %d reads, want 1 and 2, of which one is the test's", after.Commits-before.Commits, after.Reads-before.Reads)
			}
		}
		put(t, s, "office", "another's")
		for _, value := range []string{"three", "two"} { // "two" is there already
			err := s.Put(t.Context(), "reports/latest", []byte(value), guard)
			wantErr(t, err, backend.ErrFenced)
			if errors.Is(err, backend.ErrIndeterminate) {
				t.Errorf("a put that was refused is in doubt: %v", err)
			}
		}
		has(t, s, "reports/latest", "two")
		if err := s.Put(t.Context(), "reports/latest", []byte("four")); err != nil { // without a guard
			t.Error(err)
		}
		has(t, s, "reports/latest", "four")
	})
}

func TestPutRefusesOtherKeys(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		s, d := open(t, server, nil)
		for _, key := range []string{"election/a/tenure/leader", "counter", "checkpoint/a/value", "sequence/a/value", "", "/a", "a//b", "a b"} {
			wantErr(t, s.Put(t.Context(), key, nil), backend.ErrInvalid)
			wantErr(t, s.Update(t.Context(), key, func([]byte, bool) ([]byte, error) { return nil, nil }), backend.ErrInvalid)
		}
		if n := d.Stats().Commits; n != 0 {
			t.Errorf("%d commits", n)
		}
		if err := s.Put(t.Context(), "elections", nil); err != nil {
			t.Error(err)
		}
		wantErr(t, s.Put(t.Context(), "a", make([]byte, backend.MaxValueBytes+1)), backend.ErrTooLarge)
		wantErr(t, s.Put(t.Context(), "a", nil, backend.Guard{}), backend.ErrInvalid)
	})
}

// faulty opens a Store whose driver fails as it is told.
func faulty(t *testing.T, server *memory.Server) (*backend.Store, *faults.Driver) {
	t.Helper()
	d := faults.Wrap(memory.NewDriver(server))
	return over(t, d, nil), d
}

// puts matches the commits that write a value.
func puts(value string) func(driver.Txn) bool {
	return func(txn driver.Txn) bool { return len(txn.Ops) > 0 && string(txn.Ops[0].Value) == value }
}

// A put whose reply is lost is settled by a look, whether it was applied or not.
func TestPutIsSettled(t *testing.T) {
	for name, fault := range map[string]faults.Fault{"applied": {LoseReply: true}, "late": {LandLater: time.Hour}} {
		for _, first := range []bool{true, false} {
			t.Run(name+"/"+strconv.FormatBool(first), func(t *testing.T) {
				bubble(t, func(t *testing.T, server *memory.Server) {
					s, d := faulty(t, server)
					guard := owned(t, s, "office", "mine")
					if !first {
						put(t, s, "a", "before")
					}
					d.NextCommit(puts("one"), fault)
					if err := s.Put(t.Context(), "a", []byte("one"), guard); err != nil {
						t.Fatal(err)
					}
					has(t, s, "a", "one")
					put(t, s, "a", "two")
					time.Sleep(2 * time.Hour) // the late one arrives, and is refused
					has(t, s, "a", "two")
				})
			})
		}
	}
}

// A put in doubt whose guard is gone, or over which somebody has written, is not
// said to be stored, nor said not to be.
func TestPutInDoubt(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		s, d := faulty(t, server)
		other, _ := open(t, server, nil)
		guard := owned(t, s, "office", "mine")
		put(t, s, "a", "before")
		for _, meanwhile := range []func(){
			func() { put(t, other, "a", "another's") },
			func() { put(t, other, "office", "another's") },
		} {
			hit := d.NextCommit(puts("one"), faults.Fault{LoseReply: true, ReplyDelay: time.Second}).Hit()
			go func() {
				select {
				case <-hit:
				case <-t.Context().Done():
					return
				}
				time.Sleep(time.Millisecond)
				meanwhile()
			}()
			wantErr(t, s.Put(t.Context(), "a", []byte("one"), guard), backend.ErrIndeterminate)
		}
	})
}

// A put that its caller gave up never lands once the guard is void.
func TestPutGivenUpIsFenced(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		s, d := faulty(t, server)
		guard := owned(t, s, "office", "mine")
		d.NextCommit(puts("one"), faults.Fault{LandLater: time.Minute})
		ctx, cancel := context.WithCancel(t.Context())
		d.Next(faults.Read, faults.Fault{})
		hit := d.Next(faults.Read, faults.Fault{Delay: time.Hour}).Hit()
		go func() { <-hit; cancel() }()
		wantErr(t, s.Put(ctx, "a", []byte("one"), guard), backend.ErrIndeterminate, context.Canceled)
		put(t, s, "office", "another's")
		time.Sleep(time.Hour)
		if _, found, err := s.Get(t.Context(), "a"); found || err != nil {
			t.Errorf("the put landed without its guard: %t, %v", found, err)
		}
	})
}

// Updates of several processes are each made once, of what is there.
func TestUpdate(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		const processes, updates = 4, 25
		var all sync.WaitGroup
		for range processes {
			s, d := open(t, server, nil)
			all.Go(func() {
				for i := range updates {
					if i%7 == 3 {
						d.Cut() // a new generation
						d.Heal()
					}
					err := s.Update(t.Context(), "sum", func(old []byte, found bool) ([]byte, error) {
						n, _ := strconv.Atoi(string(old))
						if found != (n > 0) {
							t.Errorf("found = %t for %d", found, n)
						}
						return strconv.AppendInt(nil, int64(n+1), 10), nil
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		s, _ := open(t, server, nil)
		has(t, s, "sum", strconv.Itoa(processes*updates))
		full := errors.New("full")
		wantErr(t, s.Update(t.Context(), "sum", func([]byte, bool) ([]byte, error) { return nil, full }), full)
		has(t, s, "sum", strconv.Itoa(processes*updates))
	})
}

// Catches: an update whose change works in the slice that it was given, taken for
// one that changes nothing: the call succeeded, and nothing was stored.
func TestUpdateInPlace(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		s, _ := open(t, server, nil)
		if err := s.Put(t.Context(), "state", []byte("a1")); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"a2", "a3"} {
			err := s.Update(t.Context(), "state", func(old []byte, _ bool) ([]byte, error) {
				old[1]++
				return old, nil
			})
			if err != nil {
				t.Fatal(err)
			}
			has(t, s, "state", want)
		}
	})
}

// An update in doubt is sent again only while the key has not changed. It is
// not taken for made because another process made the same of the same.
func TestUpdateInDoubt(t *testing.T) {
	add := func(old []byte, _ bool) ([]byte, error) { return append(old, 'x'), nil }
	bubble(t, func(t *testing.T, server *memory.Server) {
		s, d := faulty(t, server)
		d.NextCommit(puts("x"), faults.Fault{LandLater: time.Minute})
		if err := s.Update(t.Context(), "a", add); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Hour)
		has(t, s, "a", "x")
		other, _ := open(t, server, nil)
		hit := d.NextCommit(puts("xx"), faults.Fault{LandLater: time.Minute}).Hit()
		d.Next(faults.Read, faults.Fault{})
		d.Next(faults.Read, faults.Fault{Delay: time.Second})
		go func() {
			<-hit
			if err := other.Update(t.Context(), "a", add); err != nil {
				t.Error(err)
			}
		}()
		err := s.Update(t.Context(), "a", add)
		wantErr(t, err, backend.ErrIndeterminate)
		if !strings.Contains(err.Error(), "changed since") {
			t.Error(err)
		}
		time.Sleep(time.Hour)
		has(t, s, "a", "xx")
	})
}
