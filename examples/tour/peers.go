package main

import (
	"context"

	"github.com/quorate/quorate/membership"
)

// What a worker sees of another.
const (
	joined    = "there"
	gone      = "gone"
	returned  = "back, the same incarnation"
	restarted = "back, a new incarnation"
)

// peers makes the worker known to the others, reports how they come and go,
// and leaves in the end.
func (j *job) peers(ctx context.Context) error {
	group, err := membership.New(j.store, "workers", nil)
	if err != nil {
		return err
	}
	self, err := group.Join(ctx, membership.Member{ID: j.ID})
	if err != nil {
		return err
	}
	watching, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(self.Context(), func() { cancel(context.Cause(self.Context())) })
	defer stop()
	known := make(map[string]string) // the last incarnation seen, by ID
	for view, err := range group.Watch(watching) {
		if err != nil {
			if ctx.Err() == nil {
				return err
			}
			break
		}
		for _, m := range view.Change.Removed {
			j.report(event{Kind: saw, Peer: m.ID, Text: gone})
		}
		for _, list := range [][]membership.Member{view.Change.Added, view.Change.Restarted} {
			for _, m := range list {
				state := joined
				if last, ok := known[m.ID]; ok {
					state = restarted
					if last == m.Incarnation {
						state = returned
					}
				}
				known[m.ID] = m.Incarnation
				j.report(event{Kind: saw, Peer: m.ID, Text: state})
			}
		}
	}
	late, end := finishing(ctx)
	defer end()
	return self.Leave(late)
}
