// Command quota grants at most so many requests per window of time, to all
// processes together.
//
//	go run -C examples ./quota -limit 5 -requests 8
//	go run -C examples ./quota -store etcd://127.0.0.1:2379   # in several terminals at once
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
	"github.com/quorate/quorate/counter"
	"github.com/quorate/quorate/examples/internal/storeurl"
	"github.com/quorate/quorate/restart"
)

func main() {
	open := storeurl.Flags("example-quota")
	limit := flag.Int64("limit", 5, "how many requests are granted per window")
	window := flag.Duration("window", time.Minute, "how long a window is")
	requests := flag.Int("requests", 8, "how many requests to make")
	flag.Parse()
	store, err := open()
	var q *quota
	if err == nil {
		q, err = newQuota(store, "customer-7", *limit, *window)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "quota:", err)
		os.Exit(restart.ExitFailed)
	}
	restart.Main(func(ctx context.Context) error {
		for i := range *requests {
			used, err := q.take(ctx, time.Now())
			switch {
			case errors.Is(err, errUsedUp):
				fmt.Printf("request %d: refused, %v\n", i+1, err)
			case err != nil: // not known to be granted, so it is not
				return err
			default:
				fmt.Printf("request %d: granted, %d of %d\n", i+1, used, *limit)
			}
		}
		return nil
	}, &restart.Options{Close: []io.Closer{store}})
}

var errUsedUp = errors.New("the quota of this window is used up")

// perWindow is how far the counter of a quota moves from one window to the
// next. It bounds the limit.
const perWindow = 1 << 24

// quota is a counter that says which window it is and what is used of it:
//
//	value = number of the window * perWindow + requests granted in it
//
// It only grows, so one key serves for ever, and nothing needs to be reset. All
// processes need the same limit and window, which the name says.
type quota struct {
	store  *backend.Store
	name   string
	limit  int64
	window time.Duration

	number  int64            // of the window that counter is for
	counter *counter.Counter // bounded to that window
}

func newQuota(store *backend.Store, name string, limit int64, window time.Duration) (*quota, error) {
	if limit < 1 || limit >= perWindow || window < time.Second {
		return nil, fmt.Errorf("a limit of %d per %v: want 1 to %d, and a second or more", limit, window, perWindow-1)
	}
	return &quota{store: store, name: fmt.Sprintf("%s %d per %v", name, limit, window), limit: limit, window: window}, nil
}

// take grants one request, and returns how many of the window that is; or
// errUsedUp. It is not for concurrent use; a service would lock around enter.
func (q *quota) take(ctx context.Context, now time.Time) (used int64, err error) {
	if err := q.enter(now); err != nil {
		return 0, err
	}
	base := q.number * perWindow
	for {
		// An add that would leave the window, below or above, is refused by the
		// counter's bounds; that holds for all processes at once.
		value, err := q.counter.Add(ctx, 1)
		if !errors.Is(err, counter.ErrOutOfRange) {
			return value - base, err
		}
		if value, err = q.counter.Value(ctx); err != nil {
			return 0, err
		}
		if value >= base+q.limit { // or the clock here is behind the others'
			return 0, errUsedUp
		}
		// Nobody was here in this window: begin it, with this request.
		switch begun, err := q.counter.CompareAndSet(ctx, value, base+1); {
		case err != nil:
			return 0, err
		case begun:
			return 1, nil
		}
	}
}

// enter takes the counter with the bounds of the present window.
func (q *quota) enter(now time.Time) (err error) {
	number := now.UnixNano() / int64(q.window)
	if q.counter != nil && number == q.number {
		return nil
	}
	low, high := number*perWindow+1, number*perWindow+q.limit
	q.number = number
	q.counter, err = counter.New(q.store, q.name, &counter.Options{Min: &low, Max: &high})
	return err
}
