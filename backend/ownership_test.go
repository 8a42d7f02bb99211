package backend_test

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/memory"
)

func TestOwnershipIsTraced(t *testing.T) {
	// Catches: a fact in another field than its own; an end that is counted twice
	// or not at all; a cause left over in a later event.
	bubble(t, func(t *testing.T, _ *memory.Server) {
		var began, ended log[backend.Ownership]
		var overran log[backend.BodyOverran]
		s := over(t, &fake{}, &backend.Options{Trace: &backend.Trace{
			OwnershipBegan: began.add, OwnershipEnded: ended.add, BodyOverran: overran.add,
		}})
		cause, body := errors.New("cause"), errors.New("body")
		o := s.TraceOwnership(backend.Subject{Kind: backend.KindPartition, Name: "p/7"}, 3, 9)
		o.Overran(cause, time.Minute)
		var ending sync.WaitGroup
		for range 8 {
			ending.Go(func() { o.End(cause, body) })
		}
		ending.Wait()
		want := backend.Ownership{Kind: backend.KindPartition, Name: "p/7", Slot: 3, Token: 9}
		if got := began.all(); !slices.Equal(got, []backend.Ownership{want}) {
			t.Errorf("began: %+v", got)
		}
		want.Cause = cause
		if got := overran.all(); !slices.Equal(got, []backend.BodyOverran{{Ownership: want, For: time.Minute}}) {
			t.Errorf("overran: %+v", got)
		}
		want.Body = body
		if got := ended.all(); !slices.Equal(got, []backend.Ownership{want}) {
			t.Errorf("ended: %+v", got)
		}
	})
}

func TestOwnershipWithoutATrace(t *testing.T) {
	// Catches: a callback that is called although it is nil.
	bubble(t, func(t *testing.T, _ *memory.Server) {
		o := over(t, &fake{}, nil).TraceOwnership(backend.Subject{Kind: backend.KindElection, Name: "e"}, 0, 1)
		o.Overran(nil, 0)
		o.End(nil, nil)
	})
}

func TestSubjectInErrors(t *testing.T) {
	// Catches: another spelling than that of all errors of the primitives.
	wantString(t, "the subject is", backend.Subject{Kind: backend.KindElection, Name: `a"b`}.String(), `election "a\"b"`)
}
