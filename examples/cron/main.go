// Command cron runs a job once per tick, in whichever of its processes leads,
// and never twice, however often the leader changes.
//
//	go run -C examples ./cron -every 2s
//	go run -C examples ./cron -every 2s -store etcd://127.0.0.1:2379   # in two terminals; end the one that works
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/election"
	"github.com/quorate/quorate/examples/internal/storeurl"
	"github.com/quorate/quorate/restart"
)

func main() {
	open := storeurl.Flags("example-cron")
	every := flag.Duration("every", 5*time.Second, "how far apart the ticks are")
	jobs := flag.Int("jobs", 0, "end after so many jobs; 0: never")
	flag.Parse()
	store, err := open()
	if err == nil && *every <= 0 {
		err = errors.New("-every must be positive")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cron:", err)
		os.Exit(restart.ExitFailed)
	}
	c := &cron{store: store, every: *every, jobs: *jobs}
	restart.Main(c.run, &restart.Options{Close: []io.Closer{store}})
}

type cron struct {
	store *backend.Store
	every time.Duration
	jobs  int // to run at most, unless 0
	ran   int
}

// run leads when it is its turn, until ctx ends.
func (c *cron) run(ctx context.Context) error {
	e, err := election.New(c.store, "cron", nil)
	if err != nil {
		return err
	}
	done, err := restart.NewCheckpoint[time.Time](c.store, "cron", nil)
	if err != nil {
		return err
	}
	return e.Run(ctx, func(ctx context.Context, lead *election.Leadership) error {
		return c.lead(ctx, lead, done)
	})
}

// lead runs the jobs of one term.
//
// The tick is saved before its job: the save is refused if this process does
// not lead any more, and whoever leads next begins after the tick. So no tick's
// job is started twice, and a crash in the middle of a job leaves it half done.
// For a job that may be repeated, and must not be left out, save after it.
func (c *cron) lead(ctx context.Context, lead *election.Leadership, done *restart.Checkpoint[time.Time]) error {
	last, _, err := done.Claim(ctx, lead.Guard())
	if err != nil {
		return err
	}
	fmt.Printf("leading, term %d\n", lead.Term())
	for {
		tick := next(last, time.Now(), c.every)
		if err := until(ctx, tick); err != nil {
			return err
		}
		if err := done.Save(ctx, tick); err != nil {
			return err
		}
		last = tick
		// The job goes here, with lead.Term() as a fencing token for its effects.
		fmt.Printf("job of %s, term %d\n", tick.Format(time.RFC3339Nano), lead.Term())
		if c.ran++; c.ran == c.jobs {
			return nil
		}
	}
}

// next returns the tick to wait for: the first after the last one, or, of
// several that were missed since, the latest. The very first lies ahead.
func next(last, now time.Time, every time.Duration) time.Time {
	now = now.UTC().Truncate(every)
	if last.IsZero() {
		return now.Add(every)
	}
	following := last.UTC().Truncate(every).Add(every)
	if following.After(now) {
		return following
	}
	return now
}

// until waits for an instant, or until ctx ends, and then returns its cause.
func until(ctx context.Context, instant time.Time) error {
	timer := time.NewTimer(time.Until(instant))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
