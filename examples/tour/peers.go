package main

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"

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
// shares the slots of the work with them, and leaves in the end.
func (j *job) peers(ctx context.Context) error {
	group, err := membership.New(j.store, "workers", nil)
	if err != nil {
		return err
	}
	self, err := group.Join(ctx, membership.Member{ID: j.ID})
	if err != nil {
		return err
	}
	both, running := errgroup.WithContext(ctx)
	both.Go(func() error { return j.watch(running, group) })
	both.Go(func() error { return j.share(running, group, self) })
	err = both.Wait()
	late, end := finishing(ctx)
	defer end()
	return errors.Join(err, self.Leave(late))
}

// watch reports how the others come and go.
func (j *job) watch(ctx context.Context, group *membership.Group) error {
	known := make(map[string]string) // the last incarnation seen, by ID
	for view, err := range group.Watch(ctx) {
		if err != nil {
			return err
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
	return nil
}
