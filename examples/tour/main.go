// Command tour shows what Quorate does, with real processes on a real store:
// some workers know each other, share out the slots of a work, count together,
// and elect a leader that works through numbered items. The tour kills it, pauses the next, asks the one after
// that to leave, tells what happens meanwhile, and proves in the end that no
// item and no count was lost or doubled. It ends by itself.
//
// Without arguments it brings its own store, an etcd server inside the program.
// It pauses processes with signals, so it needs a Unix.
//
//	go run -C examples ./tour
//	go run -C examples ./tour -store etcd://127.0.0.1:2379
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/quorate/quorate/examples/internal/etcdserver"
	"github.com/quorate/quorate/open"
)

func main() {
	if task := os.Getenv(taskEnv); task != "" {
		os.Exit(workerMain(task))
	}
	os.Exit(tourMain(os.Args[1:]))
}

func tourMain(args []string) int {
	flags := flag.NewFlagSet("tour", flag.ContinueOnError)
	flags.SetOutput(os.Stdout)
	url := flags.String("store", "", "an existing store, `etcd://host:port[,host:port]` for example, instead of one inside the program ("+strings.Join(open.Schemes(), ", ")+")")
	ttl := flags.Duration("ttl", 0, "how long the store waits for a process that is not heard of; by default the shortest that suits the store")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	case flags.NArg() > 0:
		fmt.Fprintf(os.Stderr, "tour: unexpected argument %q\n", flags.Arg(0))
		return 2
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := tour(ctx, *url, *ttl); err != nil {
		fmt.Fprintf(os.Stderr, "tour: %v\n", err)
		return 1
	}
	return 0
}

func tour(ctx context.Context, url string, ttl time.Duration) error {
	line := newTimeline(os.Stdout)
	if url == "" {
		line.say("tour", "starting an etcd server inside this program")
		server, err := etcdserver.Start(ctx)
		if err != nil {
			return err
		}
		defer server.Close()
		url = server.URL
	}
	s, err := newStage(ctx, line, url, ttl)
	if err != nil {
		return err
	}
	defer s.close()
	for _, step := range []struct {
		title string
		run   func(context.Context) error
	}{
		{"Four workers, one leader", s.elect},
		{"The leader crashes", s.crash},
		{"The leader is paused, and does not know", s.pause},
		{"The leader leaves, and comes back as a new process", s.leave},
		{"All leave", s.stop},
		{"What the store says", s.verify},
	} {
		line.title(step.title)
		if err := step.run(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.title, err)
		}
	}
	line.summary()
	return nil
}
