package routing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/integration/harness"
	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/partition"
	"github.com/quorate/quorate/route"
	"github.com/quorate/quorate/route/httproute"
)

const (
	// ttl keeps sessions on a busy machine: nothing is to expire in a deploy.
	ttl   = 15 * time.Second
	slots = 64
	// name is the partition's.
	name = "orders"
	// ready is the line of a worker's journal that says that it has joined.
	ready = "ready"
	// idHeader names a request.
	idHeader = "Request-Id"
)

// task is what a worker process is to do.
type task struct {
	Store string // the store's name in package harness
	Addrs []string
	ID    string
	Out   string // its journal: "ready", and a line for each request that it executed
}

// runWorker is the main function of a worker process: it executes requests until
// its standard input ends.
func runWorker(tk task, logger *slog.Logger) (err error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	gone := harness.ParentGone()
	go func() {
		<-gone
		cancel()
	}()
	journal, err := os.OpenFile(tk.Out, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	store, err := harness.Stores[tk.Store].Open(tk.Addrs, &backend.Options{Namespace: "routing", TTL: ttl, Logger: logger})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	group, err := membership.New(store.Store, "workers", nil)
	if err != nil {
		return err
	}
	parts, err := partition.New(group, name, &partition.Options{Slots: slots})
	if err != nil {
		return err
	}
	gate, err := route.NewGate(name, nil)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{ReadHeaderTimeout: ttl, Handler: httproute.NewHandler(gate, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		slot := route.Slot(r.Context())
		if _, err := fmt.Fprintf(journal, "%s %d %d\n", r.Header.Get(idHeader), slot.Number(), slot.Token()); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	}))}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	reg, err := group.Join(ctx, membership.Member{ID: tk.ID, Addr: listener.Addr().String()})
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(journal, ready); err != nil {
		return err
	}
	err = parts.Run(ctx, reg, gate.Serve)
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		err = nil
	}
	// The port is closed last: until then late requests are refused.
	out, done := context.WithTimeout(context.WithoutCancel(ctx), ttl)
	defer done()
	err = errors.Join(err, reg.Leave(out), server.Shutdown(out))
	if closed := <-served; !errors.Is(closed, http.ErrServerClosed) {
		err = errors.Join(err, closed)
	}
	return err
}
