package drivertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/backend/driver"
)

var errorChecks = []named{
	{"invalid", errInvalid},
	{"too-large", errTooLarge},
	{"unavailable-when-cut", errCut},
	{"indeterminate-when-muted", errMuted},
	{"never-applied-twice", errTwice},
	{"unsent-after-its-context", errUnsent},
}

func errInvalid(s *suite) {
	d := s.open()
	ctx := s.Context()
	v := driver.Version{Generation: 1, Number: 1}
	for _, path := range []string{"", "/" + s.key("a"), s.key("a") + "/", s.key("a//b"), s.key("a b"), s.key("a:b"), s.key("../a"), s.key(strings.Repeat("k", driver.MaxKeyBytes))} {
		_, err := d.Read(ctx, driver.Key(path))
		s.wantError("Read of "+path, err, driver.ErrInvalid)
		_, err = d.Read(ctx, driver.Dir(path))
		s.wantError("Read of the directory "+path, err, driver.ErrInvalid)
		_, err = d.Commit(ctx, driver.Txn{Ops: []driver.Op{driver.Create(path, nil)}})
		s.wantError("Create of "+path, err, driver.ErrInvalid)
		watch, cancel := context.WithTimeout(ctx, callTimeout)
		s.wantError("Watch of "+path, d.Watch(watch, driver.Key(path), func([]driver.Entry) {}), driver.ErrInvalid)
		cancel()
	}
	for name, txn := range map[string]driver.Txn{
		"nothing":                 {},
		"a key twice":             {Ops: []driver.Op{driver.Create(s.key("a"), nil), driver.Create(s.key("a"), nil)}},
		"a blind put":             {Ops: []driver.Op{driver.Put(s.key("a"), nil, driver.Version{})}},
		"a blind delete of two":   {Ops: []driver.Op{driver.Delete(s.key("a"), driver.Version{}), driver.Create(s.key("b"), nil)}},
		"an ephemeral, no lease":  {Ops: []driver.Op{driver.CreateEphemeral(s.key("a"), nil)}},
		"a lease, no ephemeral":   {Ops: []driver.Op{driver.Create(s.key("a"), nil)}, Lease: "0"},
		"a condition, no version": {Unchanged: []driver.Condition{{Key: s.key("a")}}},
		"no kind":                 {Ops: []driver.Op{{Key: s.key("a"), Version: v}}},
	} {
		_, err := d.Commit(ctx, txn)
		s.wantError("Commit of "+name, err, driver.ErrInvalid)
	}
	for _, ttl := range []time.Duration{0, -time.Second} {
		_, err := d.Grant(ctx, ttl)
		s.wantError(fmt.Sprint("Grant of ", ttl), err, driver.ErrInvalid)
	}
}

func (s *suite) wantError(what string, err, want error) {
	s.Helper()
	if !errors.Is(err, want) {
		s.Errorf("%.80s: %v, want %v", what, err, want)
	}
}

func errTooLarge(s *suite) {
	d, other := s.open(), s.open()
	ctx := s.Context()
	key := s.key("large")
	full := bytes.Repeat([]byte("0123456789abcdef"), driver.MaxTxnBytes/16)
	_, err := d.Commit(ctx, driver.Txn{Ops: []driver.Op{driver.Create(key, append(slices.Clone(full), 'x'))}})
	s.wantError("a value above the limit", err, driver.ErrTooLarge)
	_, err = d.Commit(ctx, driver.Txn{Ops: []driver.Op{driver.Create(key, full[:len(full)/2]), driver.Create(key+"2", full[:len(full)/2])}})
	s.wantError("two values above the limit together", err, driver.ErrTooLarge)

	fits := full[:len(full)-len(key)]
	s.apply(d, driver.Create(key, fits))
	if got := s.there(other, key); !bytes.Equal(got.Value, fits) {
		s.Errorf("the largest value came back with %d bytes of %d, or others", len(got.Value), len(fits))
	}
	var ops []driver.Op
	for i := range driver.MaxOps {
		ops = append(ops, driver.Create(s.unique(i), []byte{byte(i), 0, 0xff}))
	}
	_, err = d.Commit(ctx, driver.Txn{Ops: append(slices.Clone(ops), driver.Create(s.unique(len(ops)), nil))})
	s.wantError("too many operations", err, driver.ErrTooLarge)
	s.absent(other, s.unique(0), "its commit had too many operations")
	s.apply(d, ops...)
	got := map[string]string{}
	for _, e := range s.list(other, s.env.Prefix) {
		got[e.Key] = string(e.Value)
	}
	for _, op := range ops {
		if got[op.Key] != string(op.Value) {
			s.Errorf("%q is %q, want %q", op.Key, got[op.Key], op.Value)
		}
	}
}

// errCut commits on a connection that is cut: at first the driver may not know
// that nothing goes out, but then it must, and what it says is surely not
// applied must not be.
func errCut(s *suite) {
	d, other := s.open(), s.open()
	s.reach(d)
	s.env.Cut(s.TB, d)
	var never []string
	ctx, cancel := context.WithTimeout(s.Context(), patience)
	defer cancel()
	for i := 0; len(never) < 3; i++ {
		err := s.tryCommit(ctx, d, driver.Txn{Ops: []driver.Op{driver.Create(s.unique(i), nil)}})
		if err == nil {
			s.Fatal("a commit succeeded on a cut connection")
		}
		s.checkSentinel("Commit", err)
		if errors.Is(err, driver.ErrUnavailable) {
			never = append(never, s.unique(i))
		}
		if !pause(ctx, pace) {
			s.Fatalf("no commit was known to be unsent within %v: %v", patience, err)
		}
	}
	if _, err := s.tryRead(d, driver.Key(s.key("a"))); !errors.Is(err, driver.ErrUnavailable) {
		s.Errorf("Read on a cut connection: %v, want ErrUnavailable", err)
	}
	s.env.Heal(s.TB, d)
	s.reach(d)
	s.stays("no key of a commit that ended with ErrUnavailable, which says never", time.Second, func() bool {
		return !slices.ContainsFunc(keys(s.list(other, s.env.Prefix)), func(key string) bool { return slices.Contains(never, key) })
	})
}

// tryCommit commits within a second.
func (s *suite) tryCommit(ctx context.Context, d driver.Driver, txn driver.Txn) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_, err := d.Commit(ctx, txn)
	return err
}

func errMuted(s *suite) {
	d, other := s.open(), s.open()
	key := s.key("a")
	version := s.apply(d, driver.Create(key, []byte("0")))[0]
	s.env.Mute(s.TB, d)
	err := s.tryCommit(s.Context(), d, driver.Txn{Ops: []driver.Op{driver.Put(key, []byte("1"), version)}})
	s.wantError("a commit without a reply", err, driver.ErrIndeterminate)
	s.wantError("a commit without a reply", err, context.DeadlineExceeded)
	s.checkSentinel("Commit", err)
	s.env.Heal(s.TB, d)
	s.reach(d)
	if e := s.there(other, key); string(e.Value) != "0" && string(e.Value) != "1" {
		s.Errorf("the key is %q", e.Value)
	}
	v := s.there(d, key).Version
	s.apply(d, driver.Put(key, []byte("2"), v)) // the driver is well again
}

// errTwice loses the reply of a create that was applied, has the key deleted,
// and heals the connection: a driver that sends again creates it again, or says
// that it was refused.
func errTwice(s *suite) {
	for i, heal := range []func(d driver.Driver){
		func(d driver.Driver) { s.env.Heal(s.TB, d) },
		func(d driver.Driver) { s.env.Cut(s.TB, d); s.env.Heal(s.TB, d) },
	} {
		d, other := s.open(), s.open()
		key, deleted := s.unique(2*i), s.unique(2*i+1)
		s.reach(d)
		s.env.Mute(s.TB, d)
		type answer struct {
			result driver.Result
			err    error
		}
		send := func(key string) chan answer {
			answers := make(chan answer, 1)
			go func() {
				ctx, cancel := context.WithTimeout(s.Context(), patience)
				defer cancel()
				result, err := d.Commit(ctx, driver.Txn{Ops: []driver.Op{driver.Create(key, nil)}})
				answers <- answer{result, err}
			}()
			return answers
		}
		kept, gone := send(key), send(deleted)
		for _, k := range []string{key, deleted} {
			s.eventually(k+" is created by a commit whose reply is lost", func() bool {
				_, ok := s.get(other, k)
				return ok
			})
		}
		s.apply(other, driver.Delete(deleted, s.there(other, deleted).Version))
		heal(d)
		s.reach(d)
		for _, answers := range []chan answer{kept, gone} {
			select {
			case a := <-answers:
				if a.err == nil && !a.result.Applied {
					s.Error("a commit that was applied says that it was not")
				}
				if a.err != nil && !errors.Is(a.err, driver.ErrIndeterminate) {
					s.Errorf("a commit that was applied ended with %v, want ErrIndeterminate", a.err)
				}
			case <-time.After(patience + callTimeout):
				s.Fatal("Commit did not return")
			}
		}
		s.there(other, key)
		s.stays("the key that was deleted is absent", time.Second, func() bool {
			_, ok := s.get(other, deleted)
			return !ok
		})
	}
}

// stays fails the test if ok fails within d.
func (s *suite) stays(what string, d time.Duration, ok func() bool) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), d)
	defer cancel()
	for {
		if !ok() {
			s.Errorf("no longer: %s", what)
			return
		}
		if !pause(ctx, 5*pace) {
			return
		}
	}
}

func errUnsent(s *suite) {
	d, other := s.open(), s.open()
	lease := s.grant(d)
	ctx, cancel := context.WithCancel(s.Context())
	cancel()
	for _, m := range s.methods(d, lease, "unsent") {
		start := time.Now()
		err := m.call(ctx)
		s.checkEnded(outcome{m.name, err, time.Since(start)}, context.Canceled)
		if m.name == "Commit" && errors.Is(err, driver.ErrUnavailable) {
			s.absent(other, s.key("method-unsent"), "ErrUnavailable says that it never will be")
		}
	}
}
