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
	"github.com/quorate/quorate/open"
	"github.com/quorate/quorate/restart"
	"github.com/quorate/quorate/schedule"
)

var errEnough = errors.New("so many jobs were run as -jobs says")

func main() {
	openStore := open.Flags(flag.CommandLine, &backend.Options{Namespace: "example-cron"})
	every := flag.Duration("every", 5*time.Second, "how far apart the ticks are")
	jobs := flag.Int("jobs", 0, "end after so many jobs; 0: never")
	flag.Parse()
	store, err := openStore()
	if err != nil {
		fmt.Fprintln(os.Stderr, "cron:", err)
		os.Exit(restart.ExitFailed)
	}
	// Every, or a schedule of github.com/robfig/cron/v3.
	s, err := schedule.New(store, "cron", schedule.Every(*every), nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, "cron:", err)
		os.Exit(restart.ExitFailed)
	}
	restart.Main(func(ctx context.Context) error {
		ctx, end := context.WithCancelCause(ctx)
		defer end(nil)
		ran := 0
		err := s.Run(ctx, func(_ context.Context, tick schedule.Tick) error {
			// The job goes here, with tick.Term as a fencing token for its effects.
			fmt.Printf("job of %s, term %d\n", tick.Time.UTC().Format(time.RFC3339Nano), tick.Term)
			if ran++; ran == *jobs {
				end(errEnough)
			}
			return nil
		})
		if errors.Is(err, errEnough) {
			return nil
		}
		return err
	}, &restart.Options{Close: []io.Closer{store}})
}
