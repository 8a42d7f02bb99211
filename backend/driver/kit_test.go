package driver_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend/driver"
)

func TestCovers(t *testing.T) {
	for _, c := range []struct {
		target driver.Target
		key    string
		want   bool
	}{
		{driver.Key("a/b"), "a/b", true},
		{driver.Key("a/b"), "a/bc", false},
		{driver.Key("a/b"), "a/b/c", false},
		{driver.Dir("a"), "a/b", true},
		{driver.Dir("a"), "a", false},
		{driver.Dir("a"), "a/b/c", false},
		{driver.Dir("a"), "a/", false},   // a folder made in Consul's own interface
		{driver.Dir("a"), "a/b/", false}, // likewise
		{driver.Dir("a"), "a/!", false},  // no key of ours can have this name
		{driver.Dir("a"), "a/..", false},
		{driver.Dir("a"), "ab/c", false},
		{driver.Dir("a"), "a.c", false},
		{driver.Dir("a"), "x/a/b", false},
	} {
		if got := c.target.Covers(c.key); got != c.want {
			t.Errorf("%v covers %q: %v, want %v", c.target, c.key, got, c.want)
		}
	}
}

func TestDiffering(t *testing.T) {
	// Catches: a field that is not compared; a state that is held back though
	// an earlier one was like it; entries that are shared with the receiver.
	base := driver.Entry{Key: "a/b", Value: []byte("v"), Created: 1, Modified: 2, Version: driver.Version{Generation: 1, Number: 2}, Lease: "l"}
	change := map[string]func(*driver.Entry){
		"key":        func(e *driver.Entry) { e.Key = "a/c" },
		"value":      func(e *driver.Entry) { e.Value = []byte("w") },
		"created":    func(e *driver.Entry) { e.Created++ },
		"modified":   func(e *driver.Entry) { e.Modified++ },
		"generation": func(e *driver.Entry) { e.Version.Generation++ },
		"number":     func(e *driver.Entry) { e.Version.Number++ },
		"lease":      func(e *driver.Entry) { e.Lease = "" },
	}
	for name, f := range change {
		var got [][]driver.Entry
		deliver := driver.Differing(func(entries []driver.Entry) { got = append(got, entries) })
		other := base
		f(&other)
		for _, state := range [][]driver.Entry{{base}, {base}, {other}, {}, {}, {base}} {
			deliver(state)
		}
		if len(got) != 4 {
			t.Errorf("%s: %d states delivered of 4 that differ: %v", name, len(got), got)
		}
		got[0][0].Value[0] = 'x'
		if string(base.Value) != "v" {
			t.Fatalf("%s: the receiver's copy shares its value", name)
		}
	}
	delivered := 0
	deliver := driver.Differing(func([]driver.Entry) { delivered++ })
	if deliver(nil); delivered != 1 {
		t.Error("the first state was held back since it is empty")
	}
}

func TestOfGeneration(t *testing.T) {
	old, now := driver.Version{Generation: 1, Number: 7}, driver.Version{Generation: 2, Number: 7}
	for _, c := range []struct {
		txn  driver.Txn
		want bool
	}{
		{driver.Txn{Ops: []driver.Op{driver.Create("a", nil)}}, true},
		{driver.Txn{Ops: []driver.Op{driver.Delete("a", driver.Version{})}}, true},
		{driver.Txn{Unchanged: []driver.Condition{{Key: "a", Version: now}}, Ops: []driver.Op{driver.Create("b", nil)}}, true},
		{driver.Txn{Unchanged: []driver.Condition{{Key: "a", Version: old}}}, false},
		{driver.Txn{Ops: []driver.Op{driver.Put("a", nil, now), driver.Delete("b", old)}}, false},
	} {
		if got := c.txn.OfGeneration(2); got != c.want {
			t.Errorf("%+v is of generation 2: %v, want %v", c.txn, got, c.want)
		}
	}
}

func TestGeneration(t *testing.T) {
	var g driver.Generation
	number, ended := g.Present()
	if number != 1 || g.Now() != 1 {
		t.Errorf("the first generation is %d", number)
	}
	if _, same := g.Present(); same != ended {
		t.Error("one generation has two channels")
	}
	g.Next()
	select {
	case <-ended:
	default:
		t.Error("the channel is open after the generation has ended")
	}
	if number, ended := g.Present(); number != 2 || ended == nil {
		t.Errorf("generation %d, %v", number, ended)
	}
}

func TestRefused(t *testing.T) {
	v := driver.Version{Generation: 1, Number: 7}
	txn := driver.Txn{Unchanged: []driver.Condition{{Key: "a", Version: v}}, Ops: []driver.Op{driver.Create("b", nil), driver.Put("c", nil, v)}}
	if keys := txn.Keys(); !slices.Equal(keys, []string{"a", "b", "c"}) {
		t.Errorf("Keys are %v", keys)
	}
	result := driver.Refused(t.Context(), txn, func(_ context.Context, targets []driver.Target) ([][]driver.Entry, error) {
		if !slices.Equal(targets, []driver.Target{driver.Key("a"), driver.Key("b"), driver.Key("c")}) {
			t.Errorf("reads %v", targets)
		}
		return [][]driver.Entry{{}, {{Key: "b", Version: v}}, {}}, nil
	})
	if result.Applied || len(result.Current) != 1 || result.Current["b"].Version != v {
		t.Errorf("%+v", result)
	}
	result = driver.Refused(t.Context(), txn, func(context.Context, []driver.Target) ([][]driver.Entry, error) {
		return nil, driver.ErrUnavailable
	})
	if result.Applied || result.Current != nil {
		t.Errorf("after a read that failed: %+v", result)
	}
}

func TestContextErrors(t *testing.T) {
	native := errors.New("native")
	if driver.NotSent(t.Context()) != nil || !errors.Is(driver.Ended(t.Context(), native), native) || driver.Ended(t.Context(), nil) != nil {
		t.Error("an error though the context lives")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := driver.NotSent(ctx); !errors.Is(err, driver.ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("NotSent = %v", err)
	}
	if err := driver.Ended(ctx, native); !errors.Is(err, native) || !errors.Is(err, context.Canceled) {
		t.Errorf("Ended = %v", err)
	}
	if err := driver.Ended(ctx, nil); err != nil {
		t.Errorf("Ended of nil = %v", err)
	}
}

func TestRunning(t *testing.T) {
	// Catches: a Close that does not wait, or for ever; anything that begins
	// after Close, except what continues something that is counted.
	synctest.Test(t, func(t *testing.T) {
		var r driver.Running
		began, release := time.Now(), make(chan struct{})
		r.Go(func() {
			time.Sleep(time.Second)
			r.GoOn(func() { time.Sleep(time.Second) })
		})
		if !r.Enter() {
			t.Fatal("Enter before Close")
		}
		go func() {
			<-release
			r.Leave()
		}()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := r.Close(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 5*time.Second {
			t.Errorf("Close = %v after %v", err, time.Since(began))
		}
		if r.Enter() || r.Go(func() {}) {
			t.Error("something began after Close")
		}
		close(release)
		if err := r.Close(t.Context()); err != nil {
			t.Errorf("Close once nothing runs: %v", err)
		}
		if err := r.Close(ctx); err != nil {
			t.Errorf("Close with an ended context, when nothing runs: %v", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		var r driver.Running
		began := time.Now()
		r.Go(func() {
			time.Sleep(time.Second)
			r.GoOn(func() { time.Sleep(time.Second) })
		})
		time.Sleep(time.Millisecond)
		if err := r.Close(t.Context()); err != nil || time.Since(began) != 2*time.Second {
			t.Errorf("Close = %v after %v, want nil after 2s", err, time.Since(began))
		}
	})
}
