// Command quota grants at most so many requests per window of time, to all
// processes together.
//
//	go run -C examples ./quota -limit 5 -requests 8
//	go run -C examples ./quota -store etcd://127.0.0.1:2379   # in several terminals at once
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/open"
	"github.com/quorate/quorate/quota"
	"github.com/quorate/quorate/restart"
)

func main() {
	openStore := open.Flags(flag.CommandLine, &backend.Options{Namespace: "example-quota"})
	limit := flag.Int64("limit", 5, "how many requests are granted per window")
	window := flag.Duration("window", time.Minute, "how long a window is")
	requests := flag.Int("requests", 8, "how many requests to make")
	flag.Parse()
	store, err := openStore()
	if err != nil {
		fmt.Fprintln(os.Stderr, "quota:", err)
		os.Exit(restart.ExitFailed)
	}
	q, err := quota.New(store, "customer-7", *limit, *window, nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, "quota:", err)
		os.Exit(restart.ExitFailed)
	}
	restart.Main(func(ctx context.Context) error {
		for i := range *requests {
			granted, err := q.Take(ctx, 1)
			switch {
			case err != nil: // the store cannot be asked
				return err
			case granted:
				fmt.Printf("request %d: granted\n", i+1)
			default:
				fmt.Printf("request %d: refused for %v\n", i+1, time.Until(q.Ends()).Round(time.Second))
			}
		}
		return nil
	}, &restart.Options{Close: []io.Closer{store}})
}
