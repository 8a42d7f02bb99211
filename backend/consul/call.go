package consul

import (
	"context"
	"errors"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quorate/quorate/backend/driver"
)

// maxCalls bounds the calls under way, save those that keep sessions. A client
// keeps few connections that are idle (net/http two, api.DefaultConfig one more
// than there are processors), so in a burst nearly each call opens one and
// closes it, and closing takes its time: they add up to a few times as many.
const maxCalls = 16

// starving is how long a short call waits for a connection before a blocking
// query is made to give its own up.
const starving = 150 * time.Millisecond

// request is one HTTP request, watched on its way.
type request struct {
	// asked: the transport looked for a connection, so it reports on what it
	// does. connected: it got one, from then on something may have been sent.
	asked, connected atomic.Bool
}

// unsent reports whether it is certain that nothing was sent.
func (r *request) unsent() bool { return r.asked.Load() && !r.connected.Load() }

// short runs do, one request that the server answers at once, when its turn has
// come and fewer than maxCalls are under way. It runs do again as long as the
// server refuses it for load: so a call that makes several requests keeps the
// answers that it has.
func (d *Driver) short(ctx context.Context, do func(ctx context.Context) error) (r *request, err error) {
	notSent := d.pacer.Do(ctx, func() bool {
		select {
		case d.calls <- struct{}{}:
			defer func() { <-d.calls }()
			r, err = d.watched(ctx, do)
		case <-ctx.Done():
			r, err = unsent(), ctx.Err()
		}
		return overloaded(err)
	})
	if notSent != nil {
		return unsent(), notSent
	}
	return r, err
}

// urgent runs do, one request that keeps a session: at once, and once.
func (d *Driver) urgent(ctx context.Context, do func(ctx context.Context) error) (err error) {
	d.pacer.Urgent(func() bool {
		_, err = d.watched(ctx, do)
		return overloaded(err)
	})
	return err
}

// unsent is a request that was never sent.
func unsent() *request {
	r := new(request)
	r.asked.Store(true)
	return r
}

// watched runs do, one request that the server answers at once, with a context
// that watches it. It sees to it that blocking queries do not keep it from a
// connection, where the client's transport bounds their number.
func (d *Driver) watched(ctx context.Context, do func(ctx context.Context) error) (*request, error) {
	r := new(request)
	var mu sync.Mutex
	var relief *time.Timer
	stop := func() {
		mu.Lock()
		defer mu.Unlock()
		if relief != nil {
			relief.Stop()
			relief = nil
		}
	}
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) {
			r.asked.Store(true)
			mu.Lock()
			defer mu.Unlock()
			if relief != nil {
				return
			}
			relief = time.AfterFunc(starving, func() {
				mu.Lock()
				defer mu.Unlock()
				if relief == nil {
					return
				}
				if !d.queries.lower() {
					d.prefixes.yield() // it queues again, behind this call
				}
				relief.Reset(starving)
			})
		},
		// A dial under way is not a lack of connections.
		DNSStart:     func(httptrace.DNSStartInfo) { stop() },
		ConnectStart: func(string, string) { stop() },
		GotConn: func(httptrace.GotConnInfo) {
			r.connected.Store(true)
			stop()
		},
	})
	err := do(ctx)
	stop()
	d.health.note(err, d.queries.mayRepeat)
	return r, err
}

// health remembers whether the last call got through. When one does after one
// that did not, blocking queries are asked again: they may hang on connections
// that died in silence. Where calls fail again and again that is not done each
// time, since the server may well be there and keep the abandoned ones.
type health struct {
	mu        sync.Mutex
	failing   bool
	next      context.Context // ends when they are to be asked again
	recovered context.CancelFunc
}

func (h *health) init() { h.next, h.recovered = context.WithCancel(context.Background()) }

func (h *health) note(err error, mayRepeat func() bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case errors.Is(err, context.Canceled):
	case !answered(err):
		h.failing = true
	case h.failing:
		h.failing = false
		if mayRepeat() {
			h.recovered()
			h.init()
		}
	}
}

// again has the blocking queries asked again.
func (h *health) again() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.recovered()
	h.init()
}

// recovery is a context that ends when blocking queries are to be asked again.
func (h *health) recovery() context.Context {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.next
}

// Pacer implements driver.Paced.
func (d *Driver) Pacer() *driver.Pacer { return &d.pacer }
