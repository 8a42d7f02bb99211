package bridge_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/bridge"
	"github.com/quorate/quorate/election"
	"github.com/quorate/quorate/partition"
)

func TestNamesAreBounded(t *testing.T) {
	n := bridge.NewNames(3)
	own := map[string]bool{}
	for round := range 2 {
		for i := range 100 {
			kind, name := n.Of(backend.Ownership{Kind: "election", Name: fmt.Sprint("e", i)})
			if kind != "election" || name != fmt.Sprint("e", i) && name != bridge.Other {
				t.Fatalf("%d: %q, %q", i, kind, name)
			}
			if first := i < 3; (name == bridge.Other) == first {
				t.Errorf("round %d: the name %d of 3 is %q", round, i, name)
			}
			own[name] = true
		}
	}
	if len(own) != 4 {
		t.Errorf("%d values for at most 3 names", len(own))
	}
	for limit, want := range map[int]string{0: "e", -1: bridge.Other} {
		if _, name := bridge.NewNames(limit).Of(backend.Ownership{Kind: "election", Name: "e"}); name != want {
			t.Errorf("with a limit of %d the first name is %q", limit, name)
		}
	}
}

func TestSlotsAreNoNames(t *testing.T) {
	n := bridge.NewNames(0)
	for _, c := range [][3]string{
		{"partition", "shards/17", "shards"},
		{"partition", "a/b/0", "a/b"},
		{"partition", "odd", ""},
		{"election", "a/17", "a/17"},
	} {
		if kind, name := n.Of(backend.Ownership{Kind: c[0], Name: c[1]}); kind != c[0] || name != c[2] {
			t.Errorf("%s %q is %q, %q, want %q", c[0], c[1], kind, name, c[2])
		}
	}
	if kind, name := n.Of(backend.Ownership{Kind: "new", Name: "x"}); kind != bridge.Other || name != bridge.Other {
		t.Errorf("an unknown kind is %q, %q", kind, name)
	}
}

func TestNamesConcurrently(t *testing.T) {
	n := bridge.NewNames(10)
	var mu sync.Mutex
	own := map[string]bool{}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 100 {
				_, name := n.Of(backend.Ownership{Kind: "election", Name: fmt.Sprint(i)})
				mu.Lock()
				own[name] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(own) != 11 {
		t.Errorf("%d values for at most 10 names", len(own))
	}
}

func TestDurations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d bridge.Durations
		first := backend.Ownership{Kind: "election", Name: "e", Token: 1}
		second := backend.Ownership{Kind: "election", Name: "e", Token: 2}
		if _, known := d.Ended(first); known {
			t.Error("what never began has a duration")
		}
		d.Began(first)
		time.Sleep(time.Minute)
		d.Began(second)
		time.Sleep(time.Minute)
		first.Cause, first.Body = errors.New("cause"), errors.New("body") // do not tell it apart
		if got, known := d.Ended(first); !known || got != 2*time.Minute {
			t.Errorf("%v, %v", got, known)
		}
		if got, known := d.Ended(second); !known || got != time.Minute {
			t.Errorf("%v, %v", got, known)
		}
		if _, known := d.Ended(first); known {
			t.Error("it ended twice")
		}
	})
}

func TestKinds(t *testing.T) {
	wrap := func(errs ...error) error { return fmt.Errorf("text that differs: %w", errors.Join(errs...)) }
	for want, err := range map[string]error{
		"none": nil, "other": errors.New("10.0.0.7:2379 refused"),
		"indeterminate": wrap(backend.ErrIndeterminate, context.DeadlineExceeded),
		"session_lost":  wrap(backend.ErrSessionLost), "fenced": wrap(backend.ErrFenced), "denied": wrap(backend.ErrDenied),
		"too_large": wrap(backend.ErrTooLarge), "invalid": wrap(backend.ErrInvalid), "format": wrap(backend.ErrFormat),
		"closed": wrap(backend.ErrClosed), "unavailable": wrap(backend.ErrUnavailable, context.DeadlineExceeded),
		"timeout": context.DeadlineExceeded, "canceled": context.Canceled,
	} {
		if got := bridge.ErrorKind(err); got != want {
			t.Errorf("ErrorKind(%v) = %q, want %q", err, got, want)
		}
	}
	for want, cause := range map[string]error{
		"none": nil, "other": errors.New("signal"),
		"resigned": wrap(election.ErrResigned), "moved": wrap(partition.ErrMoved), "gave_up": wrap(partition.ErrGaveUp),
		"drain_timeout": wrap(partition.ErrDrainTimeout), "closed": wrap(backend.ErrClosed),
		"session_lost": wrap(election.ErrLost, backend.ErrSessionLost), "lost": wrap(election.ErrLost),
		"ended": wrap(context.Canceled),
	} {
		if got := bridge.CauseKind(cause); got != want {
			t.Errorf("CauseKind(%v) = %q, want %q", cause, got, want)
		}
	}
	if got := bridge.CauseKind(wrap(partition.ErrLost)); got != "lost" {
		t.Errorf("CauseKind of partition.ErrLost = %q", got)
	}
}

func ExampleRetryKind() {
	fmt.Println(bridge.RetryKind("campaign in election billing/nightly"))
	fmt.Println(bridge.RetryKind(`counter "tickets"`))
	fmt.Println(bridge.RetryKind("something of the service's own, 10.0.0.7"))
	// Output:
	// campaign in election
	// counter
	// other
}
