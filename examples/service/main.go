// Command service is a service that is made to be restarted: it starts before
// or after its store, one of its replicas works while the others stand by,
// whoever works next goes on where the last one was acknowledged, and it leaves
// in order when it is told to. The manifests beside it (deploy/) run it under
// Kubernetes, Docker Compose or Swarm, Marathon and systemd.
//
//	go run ./service -store etcd://127.0.0.1:2379
//	curl 127.0.0.1:8080/ready 127.0.0.1:8080/progress
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/election"
	"github.com/quorate/quorate/open"
	"github.com/quorate/quorate/restart"
)

// What the service needs from the word to stop until it is gone. The manifests
// grant it: a test holds them to what -grace prints.
const (
	readyDelay   = 5 * time.Second
	drainTimeout = 15 * time.Second
	closeTimeout = 6 * time.Second
)

func main() {
	url := flag.String("store", "etcd://127.0.0.1:2379", "the store: etcd://, consul://, zookeeper:// or postgres:// with host:port,host:port")
	listen := flag.String("listen", ":8080", "where the probes are answered")
	ttl := flag.Duration("ttl", backend.DefaultTTL, "how long the others wait for this one when it is not heard of")
	grace := flag.Bool("grace", false, "print how long it takes to stop at most, and exit")
	flag.Parse()
	if *grace {
		fmt.Println(readyDelay + drainTimeout + closeTimeout)
		return
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	slog.SetDefault(logger)
	store, err := open.Store(*url, &backend.Options{Namespace: "example", TTL: *ttl, Logger: logger})
	if err != nil {
		logger.Error("cannot start", "error", err)
		os.Exit(restart.ExitFailed)
	}
	s := &service{store: store, listen: *listen}
	restart.Main(s.run, &restart.Options{
		Health:       &s.health,
		ReadyDelay:   readyDelay,
		DrainTimeout: drainTimeout,
		Close:        []io.Closer{store},
		CloseTimeout: closeTimeout,
	})
}

type service struct {
	store  *backend.Store
	listen string
	health restart.Health
	next   atomic.Int64 // the item to be done next, as far as this process knows
}

// run is the service's life: probes are answered from the start, and while it
// drains; the work begins when the store is there.
func (s *service) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.serve(ctx) })
	group.Go(func() error {
		if err := restart.Await(ctx, restart.Store(s.store)); err != nil {
			return err
		}
		s.health.SetReady()
		return restart.Supervise(ctx, s.work, &restart.Policy{Name: "work"})
	})
	return group.Wait()
}

// work does items, one after the other, while this process leads.
func (s *service) work(ctx context.Context) error {
	e, err := election.New(s.store, "items", nil)
	if err != nil {
		return restart.Permanent(err)
	}
	progress, err := restart.NewCheckpoint[int64](s.store, "items", nil)
	if err != nil {
		return restart.Permanent(err)
	}
	return e.Run(ctx, func(ctx context.Context, lead *election.Leadership) error {
		item, _, err := progress.Claim(ctx, lead.Guard())
		if err != nil {
			return err
		}
		slog.Info("goes on", "item", item, "term", lead.Term())
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-tick.C:
			}
			// The work itself goes here: with lead.Term() as a fencing token, and
			// such that doing it again does no harm, since a crash right before
			// the next line has it done again.
			item++
			if err := progress.Save(ctx, item); err != nil {
				return err
			}
			s.next.Store(item)
		}
	})
}

// serve answers the probes until ctx ends.
func (s *service) serve(ctx context.Context) error {
	mux := http.NewServeMux()
	mux.Handle("/live", s.health.Live())
	mux.Handle("/ready", s.health.Ready())
	mux.HandleFunc("/progress", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, s.next.Load()) })
	listener, err := net.Listen("tcp", s.listen)
	if err != nil {
		return restart.Permanent(err)
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	stop := context.AfterFunc(ctx, func() {
		shut, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = server.Shutdown(shut)
	})
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
