package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/partition"
)

// slots is how many parts the work has that is shared out.
const slots = 12

// share works on the slots that this worker has.
func (j *job) share(ctx context.Context, group *membership.Group, self *membership.Registration) error {
	p, err := partition.New(group, "work", &partition.Options{Slots: slots})
	if err != nil {
		return err
	}
	defer p.Close()
	return p.Run(ctx, self, func(ctx context.Context, s *partition.Slot) error {
		tell := func(kind string) {
			j.report(event{Kind: kind, Term: s.Token(), N: int64(s.Number()), At: time.Now().UnixNano()})
		}
		tell(works)
		<-ctx.Done()
		tell(rests)
		return context.Cause(ctx)
	})
}

// slot is who works on one, as far as has been reported.
type slot struct {
	owner *worker
	token uint64
	at    int64
}

// noteSlot takes note of a report on a slot. Those of different workers may
// come in another order than they were made.
func (s *stage) noteSlot(r reported) error {
	slot := &s.slots[r.N]
	switch {
	case r.At < slot.at:
		return nil
	case r.Kind == works && r.Term <= slot.token:
		return fmt.Errorf("%s began with slot %d under token %d after %d", r.from.id, r.N, r.Term, slot.token)
	case r.Kind == works:
		slot.owner, slot.token, slot.at = r.from, r.Term, r.At
	case slot.owner == r.from:
		slot.owner, slot.at = nil, r.At
	}
	return nil
}

// awaitShared waits until all slots are worked on, by all workers that are
// there, and says by whom.
func (s *stage) awaitShared(ctx context.Context) error {
	shares := func() map[*worker][]string {
		all := make(map[*worker][]string)
		for k, slot := range s.slots {
			if slot.owner != nil && !slot.owner.exited {
				all[slot.owner] = append(all[slot.owner], fmt.Sprint(k))
			}
		}
		return all
	}
	shared := func() bool {
		all, there := shares(), s.present(nil)
		n := 0
		for _, own := range all {
			n += len(own)
		}
		return n == slots && !slices.ContainsFunc(there, func(w *worker) bool {
			return len(all[w]) < slots/len(there) || len(all[w]) > (slots+len(there)-1)/len(there)
		})
	}
	if !shared() {
		if _, err := s.await(ctx, "all slots to be worked on", func(reported) bool { return shared() }); err != nil {
			return err
		}
	}
	all := shares()
	var parts []string
	for _, w := range s.present(nil) {
		parts = append(parts, fmt.Sprintf("%s %s", w.id, strings.Join(all[w], " ")))
	}
	s.line.say("tour", "the %d slots are shared out: %s", slots, strings.Join(parts, ", "))
	return nil
}
