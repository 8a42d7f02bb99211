// Package supervised shows how several parts of a service are supervised
// together: with errgroup, and as services of a suture tree.
package supervised

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/thejerf/suture/v4"
	"golang.org/x/sync/errgroup"

	"github.com/quorate/quorate/restart"
)

var quiet = slog.New(slog.DiscardHandler)

// policy restarts three times, and then gives up.
func policy(name string) *restart.Policy {
	return &restart.Policy{Name: name, Base: time.Millisecond, Max: time.Millisecond, Budget: 3, Logger: quiet}
}

// feed is a part of a service that fails whatever one does.
func feed(runs *atomic.Int64) func(context.Context) error {
	return func(context.Context) error {
		runs.Add(1)
		return errors.New("connection refused")
	}
}

// api is a part that works until it is told to stop.
func api(ctx context.Context) error {
	<-ctx.Done()
	return context.Cause(ctx)
}

// Each part has a policy of its own. When one gives up, the group ends the
// others and the process ends, with the exit code that asks to be started
// afresh.
func Example_errgroup() {
	var runs atomic.Int64
	code := restart.Run(context.Background(), func(ctx context.Context) error {
		group, ctx := errgroup.WithContext(ctx)
		group.Go(func() error { return restart.Supervise(ctx, feed(&runs), policy("feed")) })
		group.Go(func() error { return restart.Supervise(ctx, api, policy("api")) })
		return group.Wait()
	}, &restart.Options{Logger: quiet})
	fmt.Println("runs of the feed:", runs.Load())
	fmt.Println("gave up:", code == restart.ExitGaveUp)
	// Output:
	// runs of the feed: 4
	// gave up: true
}

// service makes a function a service of suture that is restarted by its policy,
// and takes the whole tree down when that gives up.
type service struct {
	run  func(context.Context) error
	name string
}

func (s service) String() string { return s.name }

func (s service) Serve(ctx context.Context) error {
	err := restart.Supervise(ctx, s.run, policy(s.name))
	if errors.Is(err, restart.ErrGaveUp) {
		return fmt.Errorf("%w: %w", suture.ErrTerminateSupervisorTree, err)
	}
	return err
}

// For who has a tree of suture already: its services bring their own budgets,
// and the tree's end becomes the exit code.
func Example_suture() {
	var runs atomic.Int64
	code := restart.Run(context.Background(), func(ctx context.Context) error {
		tree := suture.New("tree", suture.Spec{EventHook: func(suture.Event) {}})
		tree.Add(service{feed(&runs), "feed"})
		tree.Add(service{api, "api"})
		err := tree.Serve(ctx)
		if errors.Is(err, suture.ErrTerminateSupervisorTree) {
			return fmt.Errorf("%w: %w", restart.ErrGaveUp, err)
		}
		return err
	}, &restart.Options{Logger: quiet})
	fmt.Println("runs of the feed:", runs.Load())
	fmt.Println("gave up:", code == restart.ExitGaveUp)
	// Output:
	// runs of the feed: 4
	// gave up: true
}
