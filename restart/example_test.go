package restart_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/restart"
)

// The main function of a service.
func ExampleMain() {
	store, err := memory.New(nil) // etcd.New(client, nil), say: no I/O, the store need not be up
	if err != nil {
		log.Fatal(err)
	}
	var health restart.Health
	http.Handle("/live", health.Live())
	http.Handle("/ready", health.Ready())
	restart.Main(func(ctx context.Context) error {
		if err := restart.Await(ctx, restart.Store(store), restart.TCP("postgres:5432")); err != nil {
			return err
		}
		health.SetReady()
		<-ctx.Done() // work until told to stop
		return context.Cause(ctx)
	}, &restart.Options{
		Health:     &health,
		ReadyDelay: 5 * time.Second,
		Close:      []io.Closer{store},
	})
}

// A process is told to stop, and its code says how it went.
func ExampleRun() {
	ctx, stop := context.WithCancel(context.Background())
	code := restart.Run(ctx, func(ctx context.Context) error {
		stop() // or a signal
		<-ctx.Done()
		fmt.Println("told to stop:", errors.Is(context.Cause(ctx), restart.ErrDraining))
		return context.Cause(ctx)
	}, &restart.Options{Logger: slog.New(slog.DiscardHandler)})
	fmt.Println("exit code", code)
	// Output:
	// told to stop: true
	// exit code 0
}

// What fails for a moment is restarted; what fails for good is not.
func ExampleSupervise() {
	policy := &restart.Policy{Name: "feed", Base: time.Millisecond, Logger: slog.New(slog.DiscardHandler)}
	tries := 0
	err := restart.Supervise(context.Background(), func(context.Context) error {
		if tries++; tries < 3 {
			return errors.New("connection reset")
		}
		return restart.Permanent(errors.New("the feed was discontinued"))
	}, policy)
	fmt.Println(tries, "tries:", err)
	// Output:
	// 3 tries: supervise feed: the feed was discontinued
}

// A service that depends on another starts before it.
func ExampleAwait() {
	up := make(chan struct{})
	time.AfterFunc(10*time.Millisecond, func() { close(up) })
	prices := restart.Check{Name: "prices", Func: func(context.Context) error {
		select {
		case <-up:
			return nil
		default:
			return errors.New("not loaded yet")
		}
	}}
	fmt.Println("all there:", restart.Await(context.Background(), prices) == nil)

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	never := restart.Check{Name: "ledger", Func: func(context.Context) error { return errors.New("no such host") }}
	err := restart.Await(ctx, prices, never)
	fmt.Println("in time:", !errors.Is(err, context.DeadlineExceeded))
	// Output:
	// all there: true
	// in time: false
}

// The next process begins where the last one was acknowledged, and the last
// one, should it still run, is refused.
func ExampleCheckpoint() {
	ctx := context.Background()
	server := memory.NewServer() // one store, two processes
	work := func(from int) *restart.Checkpoint[int] {
		store, err := memory.Open(server, nil)
		if err != nil {
			log.Fatal(err)
		}
		checkpoint, err := restart.NewCheckpoint[int](store, "invoices", nil)
		if err != nil {
			log.Fatal(err)
		}
		// In an election: checkpoint.Claim(ctx, lead.Guard()).
		next, _, err := checkpoint.Claim(ctx)
		if err != nil {
			log.Fatal(err)
		}
		for ; next < from; next++ {
			fmt.Println("invoice", next)
			if err := checkpoint.Save(ctx, next+1); err != nil {
				log.Fatal(err)
			}
		}
		return checkpoint
	}
	first := work(2) // and is gone, or so it seems
	work(4)
	err := first.Save(ctx, 3)
	fmt.Println("the first is fenced:", errors.Is(err, backend.ErrFenced))
	// Output:
	// invoice 0
	// invoice 1
	// invoice 2
	// invoice 3
	// the first is fenced: true
}

// What an orchestrator asks, and what it is told.
func ExampleHealth() {
	var health restart.Health
	ask := func(h http.Handler) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", http.NoBody))
		fmt.Print(w.Code, " ", w.Body)
	}
	ask(health.Live())
	ask(health.Ready())
	health.SetReady()
	ask(health.Ready())
	health.AddReady(restart.Check{Name: "queue", Func: func(context.Context) error { return errors.New("1000 waiting") }})
	ask(health.Ready())
	// Output:
	// 200 live
	// 503 starting
	// 200 ready
	// 503 queue: 1000 waiting
}
