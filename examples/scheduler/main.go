// Command scheduler is a small framework for jobs, put together from the
// packages: whoever has a job submits it to the store, the leader gives it to
// the slot that has least to do, and whoever runs that slot does it and counts
// it. Any process may be killed at any time: no job is lost, and none is
// counted twice.
//
//	go run -C examples ./scheduler -store etcd://127.0.0.1:2379 -id a   # and b, c, ...
//	go run -C examples ./scheduler -store etcd://127.0.0.1:2379 -submit 20
//	go run -C examples ./scheduler -store etcd://127.0.0.1:2379 -status
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/election"
	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/open"
	"github.com/quorate/quorate/partition"
	"github.com/quorate/quorate/restart"
)

func main() {
	openStore := open.Flags(flag.CommandLine, &backend.Options{Namespace: "example-scheduler"})
	id := flag.String("id", "a", "this process among the workers")
	slots := flag.Int("slots", 8, "how many jobs run at a time, in all processes together; all need the same")
	takes := flag.Duration("takes", 100*time.Millisecond, "how long a job takes")
	submit := flag.Int("submit", 0, "submit so many jobs, and end")
	status := flag.Bool("status", false, "say how many jobs there are, and end")
	flag.Parse()
	store, err := openStore()
	if err == nil && (*slots < 1 || *slots > 32 || *submit < 0 || *takes < 0) {
		err = errors.New("want 1 to 32 -slots, and neither -submit nor -takes negative")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "scheduler:", err)
		os.Exit(restart.ExitFailed)
	}
	s := &scheduler{store: store, id: *id, slots: *slots, takes: *takes}
	body := s.run
	switch {
	case *submit > 0:
		body = func(ctx context.Context) error { return s.submit(ctx, *submit) }
	case *status:
		body = s.status
	}
	restart.Main(body, &restart.Options{Close: []io.Closer{store}})
}

// scheduler keeps, below the namespace of its store:
//
//	jobs/inbox/<job>    submitted, and given to no slot yet
//	jobs/slot-<n>/<job> to be done by slot n
//	jobs/done/<n>       how many jobs slot n has done
//
// A job moves from one to the next in one commit, which is guarded by who owns
// the step: the leader's office, the slot.
type scheduler struct {
	store *backend.Store
	id    string
	slots int
	takes time.Duration
}

const inbox = "jobs/inbox"

func slotDir(slot int) string { return fmt.Sprintf("jobs/slot-%d", slot) }
func doneKey(slot int) string { return fmt.Sprintf("jobs/done/%d", slot) }

// run plans when it is this process's turn, and runs its share of the slots.
func (s *scheduler) run(ctx context.Context) error {
	planner, err := election.New(s.store, "planner", &election.Options{ID: s.id})
	if err != nil {
		return err
	}
	group, err := membership.New(s.store, "workers", nil)
	if err != nil {
		return err
	}
	defer group.Close() // leaves
	work, err := partition.New(group, "jobs", &partition.Options{Slots: s.slots})
	if err != nil {
		return err
	}
	self, err := group.Join(ctx, membership.Member{ID: s.id})
	if err != nil {
		return err
	}
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() error {
		// One that fails to plan lets another try, and is a candidate again.
		return restart.Supervise(ctx, func(ctx context.Context) error { return planner.Run(ctx, s.plan) }, &restart.Policy{Name: "planner"})
	})
	both.Go(func() error { return work.Run(ctx, self, s.work) })
	return both.Wait()
}
