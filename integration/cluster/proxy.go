package cluster

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"
)

// Proxy stands between clients and one server and is a network that fails as
// told. What it carries in each direction, requests from the client and
// replies from the server, passes, is held, or is dropped; the mode can be
// changed at any time and holds for the connections that are there as for
// those to come. When a method that changes the mode returns, nothing moves
// any more that the new mode forbids.
//
// A connection that lost bytes, or whose opening was kept from the server,
// cannot go on: it is reset once the mode would let its bytes pass again. So
// nothing that was dropped arrives late, and no stream has a hole.
//
// All methods may be called concurrently.
type Proxy struct {
	target string
	port   int
	done   sync.WaitGroup
	ctx    context.Context // Ends with Close.
	cancel context.CancelFunc

	mu       sync.Mutex
	changed  *sync.Cond // Anything that Await may ask about.
	listener *net.TCPListener
	closed   bool
	flows    [2]flow
	delay    time.Duration
	jitter   time.Duration
	links    map[*link]struct{}
	stats    Stats
	tap      func() io.Writer
}

// direction is one of the two of a connection.
type direction int

const (
	requests direction = iota
	replies
)

// flow is what happens to bytes in one direction.
type flow int

const (
	passing flow = iota
	holding
	dropping
)

// Stats says what a proxy has done so far.
type Stats struct {
	// Connections are open now, Accepted were ever.
	Connections, Accepted int
	// RequestBytes and ReplyBytes were delivered.
	RequestBytes, ReplyBytes int64
	// HeldRequests and HeldReplies are bytes that wait now, be it that they
	// are held or delayed or that their receiver does not read.
	HeldRequests, HeldReplies int64
	// DroppedRequests and DroppedReplies are bytes that will never arrive.
	DroppedRequests, DroppedReplies int64
}

// NewProxy starts a proxy to the server at target, a host:port. It passes
// everything until told otherwise.
func NewProxy(target string) (*Proxy, error) {
	if _, _, err := net.SplitHostPort(target); err != nil {
		return nil, fmt.Errorf("the target of a proxy: %w", err)
	}
	got, err := ports.take(1)
	if err != nil {
		return nil, err
	}
	p := &Proxy{target: target, port: got[0], links: map[*link]struct{}{}}
	p.changed = sync.NewCond(&p.mu)
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.listen(); err != nil {
		ports.give(p.port)
		return nil, err
	}
	return p, nil
}

// Addr is where clients connect to, as host:port. It stays the same.
func (p *Proxy) Addr() string { return hostPort(p.port) }

// Target is where the proxy connects to, as host:port.
func (p *Proxy) Target() string { return p.target }

// Tap lets each connection made from now on have a writer of its own, which is
// given the requests as they are delivered to the server, to be counted, say.
// Nothing else moves meanwhile, so it has to be quick; what it returns is not
// looked at, and it must not call the proxy.
func (p *Proxy) Tap(open func() io.Writer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tap = open
}

// Close resets all connections and returns when nothing of the proxy is left.
func (p *Proxy) Close() {
	p.cancel()
	p.mu.Lock()
	first := !p.closed
	p.closed = true
	p.refuse()
	for _, l := range p.all() {
		l.reset()
	}
	p.changed.Broadcast()
	p.mu.Unlock()
	p.done.Wait()
	if first {
		ports.give(p.port)
	}
}

// Pass lets everything through without delay. Connections that lost bytes are
// reset; others go on, and what was held for them is delivered.
func (p *Proxy) Pass() { p.set(mode{clear: true}) }

// HealReset lets everything through, and resets every connection that was
// there while something was dropped, whether it lost bytes or not: as after a
// partition that outlasted the connections.
func (p *Proxy) HealReset() { p.set(mode{clear: true, resetDark: true}) }

// Cut resets all connections and refuses new ones, as a host does that is
// there while the server is not.
func (p *Proxy) Cut() { p.set(mode{clear: true, resetAll: true, refuse: true}) }

// Silence drops everything both ways. Connections stay open, new ones are
// accepted, and the server learns of nothing: a partition.
func (p *Proxy) Silence() { p.set(mode{flows: [2]flow{dropping, dropping}}) }

// Mute drops replies and passes requests: what the client asks for happens,
// and it does not learn of it.
func (p *Proxy) Mute() { p.set(mode{flows: [2]flow{passing, dropping}}) }

// Deafen drops requests and passes replies, those to earlier requests.
func (p *Proxy) Deafen() { p.set(mode{flows: [2]flow{dropping, passing}}) }

// HoldReplies keeps replies back, in order, until ReleaseReplies or
// FlushReplies; requests go on as they did.
func (p *Proxy) HoldReplies() { p.turn(replies, holding) }

// ReleaseReplies delivers the replies that were held and passes those that
// follow. It returns when the held ones are in the receivers' buffers, or
// after a second if a receiver does not read. Where replies are dropped it does
// nothing.
func (p *Proxy) ReleaseReplies() { p.flush(replies, passing) }

// FlushReplies delivers the replies that are held now and goes on holding
// those that follow: the way to let one late reply through, and no more.
func (p *Proxy) FlushReplies() { p.flush(replies, holding) }

// HoldRequests keeps requests back, in order, until ReleaseRequests or
// FlushRequests; replies go on as they did. Requests of a client that closed
// its connection meanwhile land all the same: a commit whose caller gave up.
func (p *Proxy) HoldRequests() { p.turn(requests, holding) }

// ReleaseRequests delivers the requests that were held and passes those that
// follow. It returns as ReleaseReplies does.
func (p *Proxy) ReleaseRequests() { p.flush(requests, passing) }

// FlushRequests delivers the requests that are held now and goes on holding
// those that follow.
func (p *Proxy) FlushRequests() { p.flush(requests, holding) }

// Delay lets whatever passes take d longer each way, plus up to jitter at
// random, in order. Zero ends it, as Pass does.
func (p *Proxy) Delay(d, jitter time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay, p.jitter = d, jitter
}

// ResetAll resets the connections that are there now; new ones fare as the
// mode says.
func (p *Proxy) ResetAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.all() {
		l.reset()
	}
}

// Stats returns what the proxy has done so far.
func (p *Proxy) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stats
}

// Await waits until the stats are such that is true of them, and returns
// ctx's cause if that ends first. The condition must not call the proxy.
func (p *Proxy) Await(ctx context.Context, is func(Stats) bool) error {
	defer context.AfterFunc(ctx, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.changed.Broadcast()
	})()
	p.mu.Lock()
	defer p.mu.Unlock()
	for !is(p.stats) {
		if ctx.Err() != nil {
			return fmt.Errorf("waiting at the proxy, which says %+v: %w", p.stats, context.Cause(ctx))
		}
		p.changed.Wait()
	}
	return nil
}

// mode is what a change of mode asks for.
type mode struct {
	flows     [2]flow
	clear     bool // No delay either.
	refuse    bool
	resetAll  bool
	resetDark bool
}

func (p *Proxy) set(m mode) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.flows = m.flows
	if m.clear {
		p.delay, p.jitter = 0, 0
	}
	if m.refuse {
		p.refuse()
	} else if err := p.listen(); err != nil {
		panic(err) // The port is reserved, and below the ephemeral ones.
	}
	for _, l := range p.all() {
		if m.resetAll || m.resetDark && l.dark {
			l.reset()
		}
	}
	p.apply()
}

func (p *Proxy) turn(d direction, f flow) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flows[d] = f
	p.apply()
}

// flush delivers what waits in one direction, and then goes over to a flow.
func (p *Proxy) flush(d direction, then flow) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.flows[d] == dropping {
		return
	}
	p.flows[d] = then
	p.apply()
	for _, l := range p.all() {
		l.pipes[d].flush()
	}
}

// apply brings every connection in line with the flows.
func (p *Proxy) apply() {
	links := p.all()
	for _, l := range links {
		if p.flows[requests] == dropping || p.flows[replies] == dropping {
			l.dark = true
		}
		for _, pipe := range l.pipes {
			pipe.interrupt()
		}
	}
	for _, l := range links {
		for _, pipe := range l.pipes {
			pipe.settle()
		}
	}
}

// all is the links that are there now.
func (p *Proxy) all() []*link { return slices.Collect(maps.Keys(p.links)) }

// due is when a byte that comes now may leave.
func (p *Proxy) due() time.Time {
	wait := p.delay
	if p.jitter > 0 {
		wait += rand.N(p.jitter)
	}
	return time.Now().Add(wait)
}
