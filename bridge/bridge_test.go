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
	"github.com/quorate/quorate/lock"
	"github.com/quorate/quorate/partition"
)

func TestNamesAreBounded(t *testing.T) {
	n := bridge.NewLabels(3)
	own := map[string]bool{}
	for round := range 2 {
		for i := range 100 {
			kind, name := n.Ownership(backend.Ownership{Kind: "election", Name: fmt.Sprint("e", i)})
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
		if _, name := bridge.NewLabels(limit).Ownership(backend.Ownership{Kind: "election", Name: "e"}); name != want {
			t.Errorf("with a limit of %d the first name is %q", limit, name)
		}
	}
}

func TestNamesAreAsTheyCame(t *testing.T) {
	// Catches: a name or slot that is cut out of another; a slot that takes one
	// of the places of names.
	l := bridge.NewLabels(2)
	for slot := range 10 {
		for _, name := range []string{"a/b/0", "a"} {
			kind, got := l.Ownership(backend.Ownership{Kind: backend.KindPartition, Name: name, Slot: slot})
			if kind != "partition" || got != name {
				t.Errorf("slot %d of %q is %q, %q", slot, name, kind, got)
			}
		}
	}
	kind, name := l.Ownership(backend.Ownership{})
	if kind != bridge.Other || name != bridge.Other {
		t.Errorf("no kind and no name are %q, %q", kind, name)
	}
}

func TestKindsAndOperationsAreBounded(t *testing.T) {
	// Catches: a program that converts text to kinds or operations, and gets a
	// series for each; one that thereby changes values given out before.
	l := bridge.NewLabels(0)
	first := backend.Retrying{Kind: backend.KindElection, Operation: "campaign", Name: "e"}
	own := map[[2]string]bool{}
	for i := range 1000 {
		kind, operation := l.Retrying(first)
		if kind != "election" || operation != "campaign" {
			t.Fatalf("%d: %q, %q", i, kind, operation)
		}
		for _, kind := range []string{"mine", fmt.Sprint("kind", i)} {
			k, op := l.Retrying(backend.Retrying{Kind: backend.Kind(kind), Operation: backend.Operation(fmt.Sprint("op", i))})
			own[[2]string{k, op}] = true
		}
		k, _ := l.Ownership(backend.Ownership{Kind: backend.Kind(fmt.Sprint("kind", i))})
		own[[2]string{k}] = true
	}
	if !own[[2]string{"mine", "op0"}] || !own[[2]string{"mine", bridge.Other}] || !own[[2]string{bridge.Other, bridge.Other}] {
		t.Errorf("a kind and operation of a program's own have no value, or too many have: %v", own)
	}
	if len(own) > 300 {
		t.Errorf("%d pairs of values", len(own))
	}
	if kind, operation := l.Retrying(backend.Retrying{}); kind != bridge.Other || operation != bridge.Other {
		t.Errorf("no kind and no operation are %q, %q", kind, operation)
	}
}

func TestNamesConcurrently(t *testing.T) {
	n := bridge.NewLabels(10)
	var mu sync.Mutex
	own := map[string]bool{}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 100 {
				_, name := n.Ownership(backend.Ownership{Kind: "election", Name: fmt.Sprint(i)})
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
		slots := [2]backend.Ownership{{Kind: "partition", Name: "p", Slot: 0, Token: 1}, {Kind: "partition", Name: "p", Slot: 1, Token: 1}}
		if _, known := d.Ended(first); known {
			t.Error("what never began has a duration")
		}
		d.Began(first)
		time.Sleep(time.Minute)
		d.Began(second)
		d.Began(slots[0])
		time.Sleep(time.Minute)
		d.Began(slots[1])
		first.Cause, first.Body = errors.New("cause"), errors.New("body") // do not tell it apart
		if got, known := d.Ended(first); !known || got != 2*time.Minute {
			t.Errorf("%v, %v", got, known)
		}
		for i, want := range []time.Duration{time.Minute, 0} {
			if got, known := d.Ended(slots[i]); !known || got != want {
				t.Errorf("slot %d: %v, %v", i, got, known)
			}
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
		"resigned": wrap(election.ErrResigned), "unlocked": wrap(lock.ErrUnlocked), "moved": wrap(partition.ErrMoved), "gave_up": wrap(partition.ErrGaveUp),
		"drain_timeout": wrap(partition.ErrDrainTimeout), "closed": wrap(backend.ErrClosed),
		"session_lost": wrap(election.ErrLost, backend.ErrSessionLost), "lost": wrap(election.ErrLost),
		"ended": wrap(context.Canceled),
	} {
		if got := bridge.CauseKind(cause); got != want {
			t.Errorf("CauseKind(%v) = %q, want %q", cause, got, want)
		}
	}
	for _, lost := range []error{partition.ErrLost, lock.ErrLost} {
		if got := bridge.CauseKind(wrap(lost)); got != "lost" {
			t.Errorf("CauseKind of %v = %q", lost, got)
		}
	}
}

func ExampleLabels() {
	labels := bridge.NewLabels(1)
	for slot := range 3 {
		fmt.Println(labels.Ownership(backend.Ownership{Kind: backend.KindPartition, Name: "shards", Slot: slot}))
	}
	fmt.Println(labels.Ownership(backend.Ownership{Kind: backend.KindElection, Name: "billing/nightly"}))
	fmt.Println(labels.Retrying(backend.Retrying{Operation: "campaign", Kind: backend.KindElection, Name: "billing/nightly"}))
	// Output:
	// partition shards
	// partition shards
	// partition shards
	// election other
	// election campaign
}
