package httproute_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/partition"
	"github.com/quorate/quorate/route"
	"github.com/quorate/quorate/route/httproute"
)

const ttl = 10 * time.Second

// world is owners and a caller, over one store and a network that is function
// calls.
type world struct {
	t      *testing.T
	server *memory.Server

	mu       sync.Mutex // guards the fields below
	owners   map[string]*owner
	executed []execution
	hops     map[string]int // by ID of the request
}

// execution is a request as an owner executed it.
type execution struct {
	id, owner, body string
	slot            int
	token           uint64
}

// owner is a process that runs slots.
type owner struct {
	*world
	id      string
	driver  *memory.Driver
	store   *backend.Store
	reg     *membership.Registration
	handler http.Handler
	cancel  context.CancelFunc
	done    chan struct{}
}

func bubble(t *testing.T, test func(t *testing.T, w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, server: memory.NewServer(), owners: make(map[string]*owner), hops: make(map[string]int)}
		test(t, w)
		w.check()
	})
}

// check fails if two owners executed requests with the same token of a slot, or
// a request was executed twice.
func (w *world) check() {
	w.mu.Lock()
	defer w.mu.Unlock()
	owners, times := make(map[string]string), make(map[string]int)
	for _, e := range w.executed {
		tenure := fmt.Sprint(e.slot, "/", e.token)
		if other := owners[tenure]; other != "" && other != e.owner {
			w.t.Errorf("slot/token %s: %s and %s executed requests", tenure, other, e.owner)
		}
		owners[tenure] = e.owner
		if times[e.id]++; times[e.id] > 1 {
			w.t.Errorf("request %s was executed %d times", e.id, times[e.id])
		}
	}
}

func (w *world) open() (*memory.Driver, *backend.Store) {
	w.t.Helper()
	d := memory.NewDriver(w.server)
	w.t.Cleanup(d.Heal)
	return d, w.store(d)
}

func (w *world) store(d driver.Driver) *backend.Store {
	w.t.Helper()
	store, err := backend.New(d, &backend.Options{TTL: ttl})
	must(w.t, err)
	w.t.Cleanup(func() { _ = store.Close() })
	return store
}

// lag is how late a caller learns of a plan.
const lag = 200 * time.Millisecond

// lagging is a driver whose news come late.
type lagging struct{ driver.Driver }

func (l lagging) Watch(ctx context.Context, target driver.Target, changed func([]driver.Entry)) error {
	return l.Driver.Watch(ctx, target, func(entries []driver.Entry) {
		if backend.Sleep(ctx, lag) == nil {
			changed(entries)
		}
	})
}

// start starts an owner. Its handler calls work, if that is not nil.
func (w *world) start(id string, work func(r *http.Request)) *owner {
	w.t.Helper()
	o := &owner{world: w, id: id, done: make(chan struct{})}
	o.driver, o.store = w.open()
	group, err := membership.New(o.store, "g", nil)
	must(w.t, err)
	parts, err := partition.New(group, "p/1", &partition.Options{Slots: 8})
	must(w.t, err)
	gate, err := route.NewGate("p/1", nil)
	must(w.t, err)
	o.handler = httproute.NewHandler(gate, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if work != nil {
			work(r)
		}
		body, _ := io.ReadAll(r.Body)
		slot := route.Slot(r.Context())
		w.mu.Lock()
		defer w.mu.Unlock()
		w.executed = append(w.executed, execution{r.Header.Get("Id"), id, string(body), slot.Number(), slot.Token()})
		_, _ = io.WriteString(rw, id)
	}))
	o.reg, err = group.Join(w.t.Context(), membership.Member{ID: id, Addr: id + ":80"})
	must(w.t, err)
	ctx, cancel := context.WithCancel(w.t.Context())
	o.cancel = cancel
	go func() {
		defer close(o.done)
		_ = parts.Run(ctx, o.reg, gate.Serve)
	}()
	w.t.Cleanup(func() {
		cancel()
		<-o.done
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.owners[id+":80"] = o
	return o
}

// stop ends an owner as a service does, and then closes its port.
func (o *owner) stop() {
	o.t.Helper()
	o.cancel()
	<-o.done
	must(o.t, o.reg.Leave(o.t.Context()))
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.owners, o.id+":80")
}

// RoundTrip is the network.
func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	defer func() {
		if r.Body != nil {
			r.Body.Close()
		}
	}()
	w.mu.Lock()
	w.hops[r.Header.Get("Id")]++
	o := w.owners[r.URL.Host]
	w.mu.Unlock()
	if o == nil {
		return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	}
	answer := httptest.NewRecorder()
	inside := r.Clone(r.Context())
	if inside.Body == nil {
		inside.Body = http.NoBody
	}
	o.handler.ServeHTTP(answer, inside)
	return answer.Result(), nil
}

func (w *world) client() (*http.Client, *partition.Router) {
	w.t.Helper()
	router, err := partition.NewRouter(w.store(lagging{memory.NewDriver(w.server)}), "p/1")
	must(w.t, err)
	w.t.Cleanup(func() { _ = router.Close() })
	transport, err := httproute.NewTransport(router, &httproute.Options{Base: w})
	must(w.t, err)
	return &http.Client{Transport: transport}, router
}

// post sends a request, and returns the status and the body.
func (w *world) post(client *http.Client, key, id string, body io.Reader) (int, string, error) {
	req, err := http.NewRequestWithContext(route.WithKey(w.t.Context(), key), http.MethodPost, "http://orders/charge", body)
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Id", id)
	response, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	return response.StatusCode, string(content), err
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestRequestsReachTheOwner(t *testing.T) {
	// Catches: a slot or token of another key, a caller that cannot begin before
	// the first plan, a Host header that is lost.
	bubble(t, func(t *testing.T, w *world) {
		client, router := w.client()
		early := make(chan string, 1)
		go func() {
			status, by, err := w.post(client, "k", "early", nil)
			early <- fmt.Sprint(status, by, err)
		}()
		synctest.Wait()
		w.start("a", func(r *http.Request) {
			if r.Host != "orders" {
				t.Errorf("the Host header is %q", r.Host)
			}
		})
		if got := <-early; got != "200a<nil>" {
			t.Errorf("a request from before the first plan: %s", got)
		}
		w.start("b", nil)
		time.Sleep(3 * time.Second)
		for i := range 50 {
			key, id := fmt.Sprint("key-", i), fmt.Sprint(i)
			status, by, err := w.post(client, key, id, nil)
			owner, _ := router.Owner(key)
			if err != nil || status != http.StatusOK || by != owner.Member.ID {
				t.Errorf("%s: %d by %q, %v; the owner is %q", key, status, by, err, owner.Member.ID)
			}
			last := w.executed[len(w.executed)-1]
			if last.slot != owner.Slot || last.token != owner.Token {
				t.Errorf("%s: executed under slot %d, token %d; the owner is %+v", key, last.slot, last.token, owner)
			}
		}
	})
}

// slowly does a request's work, in virtual time.
func slowly(*http.Request) { time.Sleep(50 * time.Millisecond) }

func TestRequestsWhileSlotsMove(t *testing.T) {
	// Catches: requests that two owners accept, a refusal that reaches the client
	// though the slot moved once, more than one extra hop, a body that is lost.
	bubble(t, func(t *testing.T, w *world) {
		client, _ := w.client()
		running := map[string]*owner{}
		for _, id := range []string{"a", "b", "c"} {
			running[id] = w.start(id, slowly)
		}
		time.Sleep(5 * time.Second)
		ctx, stop := context.WithCancel(t.Context())
		var callers sync.WaitGroup
		sent := make([]int, 6)
		for c := range sent {
			callers.Go(func() {
				for ; ctx.Err() == nil; sent[c]++ {
					id := fmt.Sprint(c, "-", sent[c])
					status, _, err := w.post(client, fmt.Sprint("key-", c), id, strings.NewReader("body of "+id))
					if err != nil || status != http.StatusOK {
						t.Errorf("%v: request %s: %d, %v", time.Now(), id, status, err)
						return // without a pause time would stand still
					}
				}
			})
		}
		for _, id := range []string{"a", "b", "c"} {
			running[id].stop()
			time.Sleep(5 * time.Second)
			w.start(id+"2", slowly)
			time.Sleep(5 * time.Second)
		}
		stop()
		callers.Wait()
		w.mu.Lock()
		defer w.mu.Unlock()
		all, extra := 0, 0
		for c, n := range sent {
			for i := range n {
				all++
				hops := w.hops[fmt.Sprint(c, "-", i)]
				if extra += hops - 1; hops > 2 {
					t.Errorf("request %d-%d took %d hops", c, i, hops)
				}
			}
		}
		if len(w.executed) != all || extra == 0 {
			t.Errorf("%d requests were executed of %d, with %d extra hops", len(w.executed), all, extra)
		}
		for _, e := range w.executed {
			if e.body != "body of "+e.id {
				t.Errorf("request %s has the body %q", e.id, e.body)
			}
		}
	})
}

// stale is a network that gives the first request an old token.
type stale struct {
	*world
	once sync.Once
}

func (s *stale) RoundTrip(r *http.Request) (*http.Response, error) {
	s.once.Do(func() {
		ticket, err := route.ParseTicket(r.Header.Get(httproute.SlotHeader))
		must(s.t, err)
		ticket.Token--
		r.Header.Set(httproute.SlotHeader, ticket.String())
	})
	return s.world.RoundTrip(r)
}

// onceOnly is a body that cannot be read again.
type onceOnly struct{ io.Reader }

func TestBodiesAreReplayedOnlyIfTheyCanBe(t *testing.T) {
	// Catches: a request that is repeated with what is left of its body.
	bubble(t, func(t *testing.T, w *world) {
		first := w.start("a", nil)
		time.Sleep(3 * time.Second)
		_, store := w.open()
		router, err := partition.NewRouter(store, "p/1")
		must(t, err)
		defer router.Close()
		for _, c := range []struct {
			body io.Reader
			want int
		}{
			{onceOnly{strings.NewReader("text")}, http.StatusMisdirectedRequest},
			{strings.NewReader("text"), http.StatusOK},
			{nil, http.StatusOK},
		} {
			transport, err := httproute.NewTransport(router, &httproute.Options{Base: &stale{world: w}})
			must(t, err)
			id := fmt.Sprintf("%T", c.body)
			answered := make(chan string, 1)
			go func() {
				status, _, err := w.post(&http.Client{Transport: transport}, "k", id, c.body)
				answered <- fmt.Sprint(status, err)
			}()
			synctest.Wait()
			// The slot moves, so that there is another owner to ask.
			next := w.start(first.id+"x", nil)
			time.Sleep(2 * time.Second)
			first.stop()
			first = next
			if got, want := <-answered, fmt.Sprint(c.want, nil); got != want {
				t.Errorf("with a body of %s: %s, want %s", id, got, want)
			}
		}
		for _, e := range w.executed {
			if e.body != "" && e.body != "text" || e.id == "*strings.Reader" && e.body == "" {
				t.Errorf("executed with the body %q", e.body)
			}
		}
		if len(w.executed) != 2 {
			t.Errorf("executed: %+v", w.executed)
		}
	})
}

func TestAnOwnerThatIsGone(t *testing.T) {
	// Catches: a connection that cannot be made and is the caller's answer though
	// the plan names another owner soon.
	bubble(t, func(t *testing.T, w *world) {
		a := w.start("a", nil)
		client, _ := w.client()
		time.Sleep(3 * time.Second)
		w.mu.Lock()
		delete(w.owners, "a:80")
		w.mu.Unlock()
		if status, _, err := w.post(client, "k", "alone", nil); err == nil {
			t.Errorf("without an owner: %d", status)
		}
		answered := make(chan string, 1)
		go func() {
			status, by, err := w.post(client, "k", "moved", nil)
			answered <- fmt.Sprint(status, by, err)
		}()
		synctest.Wait()
		w.start("b", nil)
		a.cancel()
		if got := <-answered; got != "200b<nil>" {
			t.Errorf("after the slot has moved: %s", got)
		}
	})
}

func TestRequestsThatAreNotSent(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		client, router := w.client()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://orders/", strings.NewReader("x"))
		must(t, err)
		if _, err := client.Do(req); !errors.Is(err, backend.ErrInvalid) {
			t.Errorf("without a key: %v", err)
		}
		began := time.Now()
		if _, _, err := w.post(client, "k", "early", nil); !errors.Is(err, backend.ErrUnavailable) || time.Since(began) != route.DefaultWait {
			t.Errorf("without an owner: %v after %v", err, time.Since(began))
		}
		if _, err := httproute.NewTransport(nil, nil); !errors.Is(err, backend.ErrInvalid) {
			t.Errorf("without a router: %v", err)
		}
		if _, err := httproute.NewTransport(router, &httproute.Options{Wait: -1}); !errors.Is(err, backend.ErrInvalid) {
			t.Errorf("with a negative Wait: %v", err)
		}
	})
}

func TestHandlerRefuses(t *testing.T) {
	// Catches: a token that is not checked, in either direction; a refusal that
	// passes for an answer of the service.
	bubble(t, func(t *testing.T, w *world) {
		o := w.start("a", nil)
		_, router := w.client()
		must(t, router.Wait(t.Context()))
		time.Sleep(3 * time.Second)
		owner, _ := router.Owner("k")
		right := route.TicketFor(router, owner)
		for name, c := range map[string]struct {
			header string
			status int
			waits  bool
		}{
			"the right token":   {right.String(), http.StatusOK, false},
			"an older token":    {route.Ticket{Partition: "p/1", Slot: right.Slot, Token: right.Token - 1}.String(), http.StatusMisdirectedRequest, false},
			"a newer token":     {route.Ticket{Partition: "p/1", Slot: right.Slot, Token: right.Token + 1}.String(), http.StatusMisdirectedRequest, true},
			"another partition": {route.Ticket{Partition: "p/2", Slot: right.Slot, Token: right.Token}.String(), http.StatusMisdirectedRequest, false},
			"no ticket":         {"", http.StatusBadRequest, false},
		} {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.Header.Set(httproute.SlotHeader, c.header)
			answer := httptest.NewRecorder()
			began := time.Now()
			o.handler.ServeHTTP(answer, r)
			refused := answer.Header().Get(httproute.RefusedHeader) != ""
			if answer.Code != c.status || refused != (c.status == http.StatusMisdirectedRequest) {
				t.Errorf("%s: %d, refused %t", name, answer.Code, refused)
			}
			if waited := time.Since(began); waited != 0 != c.waits || waited > route.DefaultWait {
				t.Errorf("%s: waited %v", name, waited)
			}
		}
		w.executed = nil
	})
}

func TestRequestHoldsTheSlot(t *testing.T) {
	// Catches: a slot that moves under a request, a request that cannot tell that
	// the slot is to move, one that is told that it lost the slot when it did not.
	bubble(t, func(t *testing.T, w *world) {
		let := make(chan struct{})
		var causes []error
		a := w.start("a", func(r *http.Request) {
			<-route.Leaving(r.Context())
			causes = append(causes, context.Cause(r.Context()))
			<-let
			causes = append(causes, context.Cause(r.Context()))
		})
		client, _ := w.client()
		time.Sleep(3 * time.Second)
		answered := make(chan string, 2)
		post := func(id string) {
			status, by, err := w.post(client, "k", id, nil)
			answered <- fmt.Sprint(id, status, by, err)
		}
		go post("first")
		synctest.Wait()
		w.start("b", nil)
		a.cancel()
		time.Sleep(3 * time.Second)
		go post("second")
		time.Sleep(time.Second)
		if n := len(w.executed); n != 0 {
			t.Errorf("%d requests were executed while the first held the slot", n)
		}
		close(let)
		if first, second := <-answered, <-answered; first+second != "first200a<nil>second200b<nil>" {
			t.Errorf("answers: %s, %s", first, second)
		}
		if len(causes) != 2 || causes[0] != nil || causes[1] != nil {
			t.Errorf("the context ended while the request held the slot: %v", causes)
		}
	})
}

func TestRequestEndsWithTheOwnership(t *testing.T) {
	// Catches: a handler that is not told that the slot is lost, requests that are
	// admitted after that.
	bubble(t, func(t *testing.T, w *world) {
		ended := make(chan error, 1)
		a := w.start("a", func(r *http.Request) {
			<-r.Context().Done()
			ended <- context.Cause(r.Context())
		})
		client, router := w.client()
		time.Sleep(3 * time.Second)
		go func() { _, _, _ = w.post(client, "k", "first", nil) }()
		synctest.Wait()
		owner, _ := router.Owner("k")
		a.driver.Silence()
		began := time.Now()
		if cause := <-ended; !errors.Is(cause, partition.ErrLost) || time.Since(began) > ttl {
			t.Errorf("the request ended with %v after %v", cause, time.Since(began))
		}
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set(httproute.SlotHeader, route.TicketFor(router, owner).String())
		answer := httptest.NewRecorder()
		a.handler.ServeHTTP(answer, r)
		if answer.Code != http.StatusMisdirectedRequest {
			t.Errorf("after the slot was lost: %d", answer.Code)
		}
	})
}
