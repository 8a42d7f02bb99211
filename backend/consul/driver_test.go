package consul

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
)

func TestNewArguments(t *testing.T) {
	if _, err := New(nil, nil); !errors.Is(err, backend.ErrInvalid) {
		t.Errorf("New(nil) = %v, want ErrInvalid", err)
	}
	client, err := api.NewClient(api.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []*Options{{MaxBlockingQueries: -1}, {Wait: -time.Second}, {Wait: 2 * time.Minute}} {
		if _, err := NewDriver(client, o); !errors.Is(err, driver.ErrInvalid) {
			t.Errorf("NewDriver(%+v) = %v, want ErrInvalid", o, err)
		}
	}
	if _, err := New(client, &backend.Options{TTL: time.Nanosecond}); !errors.Is(err, backend.ErrInvalid) {
		t.Errorf("New with a TTL of 1 ns = %v, want ErrInvalid", err)
	}
	client.AddHeader("idempotency-key", "x")
	if _, err := NewDriver(client, nil); !errors.Is(err, driver.ErrInvalid) {
		t.Errorf("NewDriver with a client whose commits net/http would repeat = %v, want ErrInvalid", err)
	}
}

// TestCommitIsSentOnce breaks the connection after the server read the commit,
// on a fresh connection and on one that served before: net/http repeats some
// requests then, and must not repeat this one.
func TestCommitIsSentOnce(t *testing.T) {
	for _, reused := range []bool{false, true} {
		f := newFake(t)
		d := f.open(t, nil, nil)
		if reused {
			if _, err := d.Read(t.Context(), driver.Key("q/a")); err != nil {
				t.Fatal(err)
			}
		}
		f.setBefore(func(w http.ResponseWriter, r *http.Request, _ []byte) bool {
			if r.URL.Path != "/v1/txn" {
				return false
			}
			panic(http.ErrAbortHandler)
		})
		_, err := d.Commit(t.Context(), driver.Txn{Ops: []driver.Op{driver.Create("q/a", nil)}})
		if !errors.Is(err, driver.ErrIndeterminate) {
			t.Errorf("a commit whose reply was lost: %v, want ErrIndeterminate", err)
		}
		if n, _, _ := f.counts("PUT /v1/txn"); n != 1 {
			t.Errorf("it was sent %d times (connection reused: %v), want once", n, reused)
		}
	}
}

// TestUnsent lets a commit end while it waits for a connection: in a dial that
// hangs, and for want of one that is free.
func TestUnsent(t *testing.T) {
	f := newFake(t)
	hang := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	d := f.open(t, nil, hang)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := d.Commit(ctx, driver.Txn{Ops: []driver.Op{driver.Create("q/a", nil)}})
	if !errors.Is(err, driver.ErrUnavailable) || errors.Is(err, driver.ErrIndeterminate) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a commit that ended in the dial: %v, want ErrUnavailable with the context's error", err)
	}
	if n, _, _ := f.counts("PUT"); n != 0 {
		t.Errorf("%d requests", n)
	}
}

// TestConditionsAlone is about the one commit that Consul answers without its
// log: without mode "consistent" a deposed leader would.
func TestConditionsAlone(t *testing.T) {
	f := newFake(t)
	d := f.open(t, nil, nil)
	f.setBefore(func(w http.ResponseWriter, r *http.Request, _ []byte) bool {
		if r.URL.Path != "/v1/txn" {
			return false
		}
		if !r.URL.Query().Has("consistent") {
			t.Errorf("conditions alone were asked without consistent: %s", r.URL)
		}
		_ = json.NewEncoder(w).Encode(api.TxnResponse{})
		return true
	})
	result, err := d.Commit(t.Context(), driver.Txn{Unchanged: []driver.Condition{{Key: "q/a", Version: driver.Version{Generation: 1, Number: 3}}}})
	if err != nil || !result.Applied {
		t.Errorf("Commit = %+v, %v", result, err)
	}
}

// TestLeftOut is about permissions: Consul leaves out of a list what the token
// may not read, and says so in a header, though not to the anonymous token.
func TestLeftOut(t *testing.T) {
	f := newFake(t)
	d := f.open(t, nil, nil)
	f.set("q/dir/a", []byte("1"))
	f.setBefore(func(w http.ResponseWriter, r *http.Request, _ []byte) bool {
		if r.URL.Query().Has("recurse") {
			w.Header().Set("X-Consul-Results-Filtered-By-ACLs", "true")
		}
		return false
	})
	if _, err := d.Read(t.Context(), driver.Dir("q/dir")); !errors.Is(err, driver.ErrDenied) {
		t.Errorf("Read of a list that was filtered: %v, want ErrDenied", err)
	}
	f.setBefore(func(w http.ResponseWriter, r *http.Request, _ []byte) bool {
		switch {
		case r.URL.Query().Has("recurse"): // filtered in silence
			w.Header().Set("X-Consul-Index", "11")
			w.WriteHeader(http.StatusNotFound)
		default:
			http.Error(w, "Permission denied: anonymous token lacks permission 'key:read'", http.StatusForbidden)
		}
		return true
	})
	if _, err := d.Read(t.Context(), driver.Dir("q/dir")); !errors.Is(err, driver.ErrDenied) {
		t.Errorf("Read of a list that was emptied: %v, want ErrDenied", err)
	}
}

// sessions answers for one session.
type sessions struct {
	info, renew atomic.Int32 // status, or 0 for 200
	created     atomic.Value // the body
	nodeless    atomic.Bool  // the node is not in the catalog
}

func (s *sessions) serve(w http.ResponseWriter, r *http.Request, body []byte) bool {
	one := []api.SessionEntry{{ID: "5e55-10"}}
	answer := func(code int32, none any) {
		switch code {
		case 0:
			_ = json.NewEncoder(w).Encode(one)
		case http.StatusNotFound:
			if none == nil {
				http.Error(w, "Session id '5e55-10' not found", http.StatusNotFound)
			} else {
				_ = json.NewEncoder(w).Encode(none)
			}
		default:
			http.Error(w, "No cluster leader", int(code))
		}
	}
	switch {
	case strings.HasPrefix(r.URL.Path, "/v1/session/create"):
		if s.nodeless.Load() {
			http.Error(w, "rpc error making call: apply failed: Missing node registration", http.StatusInternalServerError)
			return true
		}
		s.created.Store(string(body))
		_ = json.NewEncoder(w).Encode(one[0])
	case strings.HasPrefix(r.URL.Path, "/v1/session/info"):
		if !r.URL.Query().Has("consistent") {
			http.Error(w, "not consistent", http.StatusTeapot)
			return true
		}
		answer(s.info.Load(), []api.SessionEntry{})
	case strings.HasPrefix(r.URL.Path, "/v1/session/renew"):
		answer(s.renew.Load(), nil)
	default:
		return false
	}
	return true
}

func TestSessionIsMade(t *testing.T) {
	f, s := newFake(t), new(sessions)
	f.setBefore(s.serve)
	d := f.open(t, &Options{Node: "anchor"}, nil)
	if _, err := d.Grant(t.Context(), 15*time.Second); err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(s.created.Load().(string)), &got); err != nil {
		t.Fatal(err)
	}
	checks, ok := got["NodeChecks"].([]any)
	if !ok || len(checks) != 0 {
		t.Errorf("NodeChecks is %v: want an empty list, or a flapping agent destroys the session", got["NodeChecks"])
	}
	for key, want := range map[string]string{"LockDelay": "1ms", "Behavior": "delete", "TTL": "15s", "Node": "anchor"} {
		if got[key] != want {
			t.Errorf("%s is %v, want %s", key, got[key], want)
		}
	}
}

// TestNodeIsMissing: a node that was never there is a mistake, and worth an
// error; one that went will come again. An agent whose server was unreachable
// for a while is taken out of the catalog, and registers itself when it is back.
func TestNodeIsMissing(t *testing.T) {
	for name, c := range map[string]struct {
		node    string
		granted bool // a session before
		want    error
	}{
		"the agent's own":         {"", false, driver.ErrUnavailable},
		"named, never there":      {"anchor", false, driver.ErrInvalid},
		"named, and it was there": {"anchor", true, driver.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			f, s := newFake(t), new(sessions)
			f.setBefore(s.serve)
			d := f.open(t, &Options{Node: c.node}, nil)
			if c.granted {
				if _, err := d.Grant(t.Context(), 10*time.Second); err != nil {
					t.Fatal(err)
				}
			}
			s.nodeless.Store(true)
			_, err := d.Grant(t.Context(), 10*time.Second)
			var native api.StatusError
			if !errors.Is(err, c.want) || !errors.As(err, &native) || !strings.Contains(err.Error(), fmt.Sprintf("node %q", c.node)) {
				t.Errorf("Grant = %v, want %v with the node's name", err, c.want)
			}
			s.nodeless.Store(false)
			if _, err := d.Grant(t.Context(), 10*time.Second); err != nil {
				t.Errorf("once the node is there: %v", err)
			}
		})
	}
}

// TestFailedRevoke: the Store revokes a session once. The driver must not keep
// what could not be revoked.
func TestFailedRevoke(t *testing.T) {
	f, s := newFake(t), new(sessions)
	f.setBefore(s.serve) // which knows nothing of /v1/session/destroy
	d := f.open(t, nil, nil)
	lease, err := d.Grant(t.Context(), 15*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if err := lease.Revoke(t.Context()); !errors.Is(err, driver.ErrUnavailable) {
		t.Errorf("Revoke = %v, want ErrUnavailable", err)
	}
	if n := len(d.leases); n != 0 {
		t.Errorf("the driver keeps %d leases", n)
	}
}

// TestRenewals is about what an answer to a renewal proves.
func TestRenewals(t *testing.T) {
	const missing = http.StatusNotFound
	for name, c := range map[string]struct {
		info, renew int32
		want        error
		lost        bool
	}{
		"renewed":                              {0, 0, nil, false},
		"404 of a leader that is still behind": {0, missing, driver.ErrNotCounted, false},
		"gone":                                 {missing, missing, driver.ErrSessionLost, true},
		"a deposed leader renews":              {500, 0, driver.ErrUnavailable, false},
		"no answer to the renewal":             {0, 500, driver.ErrUnavailable, false},
	} {
		t.Run(name, func(t *testing.T) {
			f, s := newFake(t), new(sessions)
			f.setBefore(s.serve)
			d := f.open(t, nil, nil)
			lease, err := d.Grant(t.Context(), 10*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			s.info.Store(c.info)
			s.renew.Store(c.renew)
			valid, err := lease.Renew(t.Context())
			if !errors.Is(err, c.want) || (err == nil) != (valid == 10*time.Second) {
				t.Errorf("Renew = %v, %v; want %v", valid, err, c.want)
			}
			select {
			case <-lease.Lost():
				if !c.lost {
					t.Error("the lease is said to be lost")
				}
			default:
				if c.lost {
					t.Error("the lease is not said to be lost")
				}
			}
			if c.lost {
				s.info.Store(0) // a restore brings it back
				s.renew.Store(0)
				if _, err := lease.Renew(t.Context()); !errors.Is(err, driver.ErrSessionLost) {
					t.Errorf("a lease that was lost was renewed: %v", err)
				}
			}
		})
	}
}

// TestCallsAreBounded: calls of a burst queue up, so that a process stays
// within the connections that a server allows its address; what keeps the
// session does not wait behind them.
func TestCallsAreBounded(t *testing.T) {
	f := newFake(t)
	var s sessions
	var waiting atomic.Int64
	release := make(chan struct{})
	f.setBefore(func(w http.ResponseWriter, r *http.Request, body []byte) bool {
		if s.serve(w, r, body) {
			return true
		}
		waiting.Add(1)
		<-release
		return false
	})
	d := f.open(t, nil, nil)
	lease, err := d.Grant(t.Context(), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 3 * maxCalls {
		all.Go(func() {
			if _, err := d.Read(t.Context(), driver.Key("q/a")); err != nil {
				t.Errorf("Read: %v", err)
			}
		})
	}
	deadline := time.Now().Add(20 * time.Second)
	for waiting.Load() < maxCalls && time.Now().Before(deadline) {
		runtime.Gosched()
	}
	if _, err := lease.Renew(t.Context()); err != nil {
		t.Errorf("Renew: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	create := driver.Txn{Ops: []driver.Op{driver.Create("q/b", nil)}}
	if _, err := d.Commit(ctx, create); !errors.Is(err, driver.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a commit that never had its turn: %v, want ErrUnavailable with the context's error", err)
	}
	if n := waiting.Load(); n != maxCalls {
		t.Errorf("%d calls at a time, want %d", n, maxCalls)
	}
	close(release)
	all.Wait()
}
