// Command debugpage runs a few workers that lead, share slots and count, and
// serves the page of package debug, as one of them sees the others.
//
//	go run -C examples ./debugpage
//	go run -C examples ./debugpage -store etcd://127.0.0.1:2379 -slots 4096
//
// The workers live in this process, each with a Store of its own, so that there
// is something to see: every so often one of them stops, and comes back.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/counter"
	"github.com/quorate/quorate/debug"
	"github.com/quorate/quorate/election"
	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/open"
	"github.com/quorate/quorate/partition"
	"github.com/quorate/quorate/restart"
)

func main() {
	address := flag.String("listen", "127.0.0.1:8080", "where to serve the page; keep it private")
	url := flag.String("store", "", "the store, `etcd://host:port` for example ("+strings.Join(open.Schemes(), ", ")+"); without it one in this process")
	workers := flag.Int("workers", 6, "how many workers there are")
	slots := flag.Int("slots", 256, "into how many slots the work is cut")
	away := flag.Duration("restart", 6*time.Second, "how often a worker stops and comes back, zero for never")
	flag.Parse()
	restart.Main(func(ctx context.Context) error {
		return serve(ctx, *address, *url, *workers, *slots, *away)
	}, nil)
}

func serve(ctx context.Context, address, url string, count, slots int, away time.Duration) error {
	if count < 1 {
		return errors.New("at least one worker is needed")
	}
	openStore, err := opener(url)
	if err != nil {
		return err
	}
	var workers []*worker
	for i := range count {
		w, err := newWorker(fmt.Sprintf("worker-%d", i), openStore, slots)
		if err != nil {
			return err
		}
		workers = append(workers, w)
	}
	first := workers[0]
	page, err := debug.Handler(first.store, &debug.Options{
		Process:    first.id,
		Elections:  []*election.Election{first.election},
		Groups:     []*membership.Group{first.group},
		Partitions: []*partition.Partition{first.work},
		Counters:   []*counter.Counter{first.counter},
		Tallies:    []*counter.Tally{first.tally},
	})
	if err != nil {
		return err
	}
	var listening net.ListenConfig
	listener, err := listening.Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/debug/quorate", page)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	fmt.Printf("http://%s/debug/quorate\n", listener.Addr())

	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	done := make(chan error, 1)
	go func() { done <- live(ctx, workers, away) }()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-done
}

// opener returns what opens a Store of its own for each worker.
func opener(url string) (func() (*backend.Store, error), error) {
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	options := &backend.Options{Namespace: "example-debugpage", Logger: logger}
	if url == "" {
		server := memory.NewServer()
		return func() (*backend.Store, error) { return memory.Open(server, options) }, nil
	}
	target, err := open.Parse(url)
	return func() (*backend.Store, error) { return target.Open(options) }, err
}

// live runs the workers until ctx ends. All but the first are restarted, one
// after the other.
func live(ctx context.Context, workers []*worker, away time.Duration) error {
	for _, w := range workers {
		w.start(ctx)
	}
	for i := 1; away > 0 && len(workers) > 1 && ctx.Err() == nil; i = i%(len(workers)-1) + 1 {
		pause(ctx, away)
		workers[i].stop()
		pause(ctx, away/3)
		workers[i].start(ctx)
	}
	<-ctx.Done()
	var errs []error
	for _, w := range workers {
		w.stop()
		errs = append(errs, w.close())
	}
	return errors.Join(errs...)
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
