// Package refusals proves on real servers what the library does when a store
// refuses: for want of space, for load, for a permission that was taken away,
// and for a moment while servers start. internal/policy proves the same of each
// primitive in virtual time, docs/errors.md has the policy.
package refusals

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/consul"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/etcd"
	"github.com/quorate/quorate/election"
	"github.com/quorate/quorate/integration/cluster"
	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/partition"
)

const (
	ttl       = 3 * time.Second
	namespace = "quorate"
	// patience is how long a test waits for what must come.
	patience = time.Minute
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually waits until ask succeeds.
func eventually(t testing.TB, what string, ask func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		err := ask(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: %v", what, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func closing(t testing.TB, c *cluster.Cluster, err error) *cluster.Cluster {
	t.Helper()
	must(t, err)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// process is a process of its own, as far as the store can tell.
type process struct {
	*backend.Store
	warnings, retries atomic.Int64
}

func open(t testing.TB, d driver.Driver) *process {
	t.Helper()
	p := new(process)
	store, err := backend.New(d, &backend.Options{
		Namespace: namespace, TTL: ttl,
		Logger: slog.New(counting{slog.DiscardHandler, &p.warnings}),
		Trace:  &backend.Trace{Retrying: func(backend.Retrying) { p.retries.Add(1) }},
	})
	must(t, err)
	p.Store = store
	t.Cleanup(func() { _ = store.Close() })
	return p
}

// counting is a slog.Handler that counts warnings.
type counting struct {
	slog.Handler
	warnings *atomic.Int64
}

func (c counting) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

func (c counting) Handle(context.Context, slog.Record) error {
	c.warnings.Add(1)
	return nil
}

func etcdClient(t testing.TB, config clientv3.Config) *clientv3.Client {
	t.Helper()
	config.Logger = zap.NewNop()
	client, err := clientv3.New(config)
	must(t, err)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func onEtcd(t testing.TB, config clientv3.Config) *process {
	t.Helper()
	d, err := etcd.NewDriver(etcdClient(t, config))
	must(t, err)
	return open(t, d)
}

func consulClient(t testing.TB, addr, token string) *api.Client {
	t.Helper()
	config := api.DefaultConfig()
	config.Address, config.Token = addr, token
	client, err := api.NewClient(config)
	must(t, err)
	t.Cleanup(config.Transport.CloseIdleConnections)
	return client
}

func onConsul(t testing.TB, client *api.Client, options *consul.Options) *process {
	t.Helper()
	d, err := consul.NewDriver(client, options)
	must(t, err)
	return open(t, d)
}

// gate is a proxy for HTTP that counts what passes, and what the server refuses
// for load, and that can refuse all itself.
type gate struct {
	addr             string
	refusing         atomic.Bool
	passed, overload atomic.Int64
}

func openGate(t testing.TB, to string) *gate {
	t.Helper()
	g := new(gate)
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: to})
	proxy.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	proxy.ModifyResponse = func(r *http.Response) error {
		g.passed.Add(1)
		if r.StatusCode == http.StatusTooManyRequests || r.StatusCode == http.StatusServiceUnavailable {
			g.overload.Add(1)
		}
		return nil
	}
	server := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if g.refusing.Load() {
			http.Error(w, "ACL not found", http.StatusForbidden)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	g.addr = strings.TrimPrefix(server, "http://")
	return g
}

// worker is a process that uses everything that lasts: it is a member, runs
// slots, leads or waits to, and observes who leads.
type worker struct {
	*process
	id    string
	group *membership.Group
	reg   *membership.Registration
	slots *partition.Partition
	led   atomic.Int64 // how often it began to lead
	began chan int     // slots whose body began
	ended chan error   // what ended, and must not
	stop  context.CancelFunc
}

func work(t testing.TB, p *process, id string) *worker {
	t.Helper()
	w := &worker{process: p, id: id, began: make(chan int, 1000), ended: make(chan error, 10)}
	var err error
	w.group, err = membership.New(p.Store, "g", nil)
	must(t, err)
	w.slots, err = partition.New(w.group, "p", &partition.Options{Slots: 2})
	must(t, err)
	w.join(t)
	return w
}

// join begins all that a worker does.
func (w *worker) join(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var err error
	w.reg, err = w.group.Join(ctx, membership.Member{ID: w.id})
	must(t, err)
	leading, err := election.New(w.Store, "e", nil)
	must(t, err)
	running, stop := context.WithCancel(t.Context())
	w.stop = stop
	t.Cleanup(stop)
	reg := w.reg
	keep := func(what string, run func() error) {
		go func() {
			if err := run(); running.Err() == nil {
				w.ended <- fmt.Errorf("%s: %w", what, err)
			}
		}()
	}
	keep("the membership", func() error {
		<-reg.Context().Done()
		return context.Cause(reg.Context())
	})
	keep("Partition.Run", func() error {
		return w.slots.Run(running, reg, func(ctx context.Context, s *partition.Slot) error {
			w.began <- s.Number()
			<-ctx.Done()
			return nil
		})
	})
	keep("Election.Run", func() error {
		return leading.Run(running, func(ctx context.Context, _ *election.Leadership) error {
			w.led.Add(1)
			<-ctx.Done()
			return nil
		})
	})
	keep("Observe", func() error {
		for _, err := range leading.Observe(running) {
			if err != nil {
				return err
			}
		}
		return errors.New("the stream ended")
	})
}

// runs waits until the bodies of so many slots have begun.
func (w *worker) runs(t testing.TB, n int) {
	t.Helper()
	for range n {
		select {
		case <-w.began:
		case err := <-w.ended:
			t.Fatalf("%s: %v", w.id, err)
		case <-time.After(patience):
			t.Fatal("a slot has no owner")
		}
	}
}

// lasts fails if something has ended.
func (w *worker) lasts(t testing.TB) {
	t.Helper()
	for {
		select {
		case err := <-w.ended:
			t.Errorf("%s: ended: %v", w.id, err)
		default:
			return
		}
	}
}

// serves waits until the store does what the worker asks.
func (w *worker) serves(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := w.reg.Update(ctx, map[string]string{"at": time.Now().String()}); err != nil {
		t.Errorf("%s: %v", w.id, err)
	}
}
