package membership_test

import (
	"errors"
	"testing"
	"time"

	"github.com/quorate/quorate/backend/faults"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/membership"
)

func TestReplace(t *testing.T) { testReplace(t, faults.Fault{}) }

// The watch shows the new entry before the reply to its creation comes.
func TestReplaceWithALateReply(t *testing.T) {
	testReplace(t, faults.Fault{ReplyDelay: 100 * time.Millisecond})
}

func testReplace(t *testing.T, creation faults.Fault) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		a, b := start(t, server, nil), start(t, server, nil)
		r := a.join("a")
		b.join("b")
		time.Sleep(time.Second)
		seen := b.watch()
		seen.take()
		s, _ := r.Entry(t.Context())
		a.faults.Next(faults.Commit, creation)
		next, err := s.Replace(t.Context())
		if err != nil || next.Registration == s.Registration || s.Context().Err() == nil {
			t.Errorf("Replace = %+v, %v", next, err)
		}
		time.Sleep(time.Second)
		wantKeys(t, "afterwards", server, "a", "b") // the old entry is swept
		seen.want(t, "meanwhile", "")
	})
}

// A Leave while an entry is being replaced: the old one stands beside the new,
// and the watch has no news after that of the mark.
func TestLeaveWhileReplacing(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		a := start(t, server, nil)
		r := a.join("a")
		time.Sleep(time.Second)
		s, _ := r.Entry(t.Context())
		late := faults.Fault{ReplyDelay: 300 * time.Millisecond}
		a.faults.Next(faults.Commit, late)
		go func() {
			if _, err := s.Replace(t.Context()); !errors.Is(err, membership.ErrLeft) {
				t.Errorf("Replace = %v", err)
			}
		}()
		time.Sleep(50 * time.Millisecond)
		wantKeys(t, "meanwhile", server, "a", "a")
		a.faults.Next(faults.Commit, late)
		if err := r.Leave(t.Context()); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		wantKeys(t, "afterwards", server, "a~left")
	})
}
