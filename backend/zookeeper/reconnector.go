package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/quorate/quorate/backend/driver"
)

const (
	// commonTimeout is the session timeout of the common connection. Nothing
	// depends on that session.
	commonTimeout = 10 * time.Second
	// commonProbe is the pause between two touches of the common connection,
	// and the time allowed for the answer.
	commonProbe = 2 * time.Second

	maxAttempt = 5 * time.Second
	pauseBase  = 20 * time.Millisecond
	maxPause   = 500 * time.Millisecond
)

// reconnector keeps at most one connection at a time. It dials when a caller
// needs one, one server after the other until one answers.
type reconnector struct {
	d     *Driver
	ask   time.Duration
	lease bool // the first session is the only one

	mu      sync.Mutex // guards the fields below
	conn    *conn
	session session // the next connection takes it over
	lost    func()  // called when a lease's session is gone
	over    error   // why there will be no further connection
	dialing bool
	waiters int
	kept    time.Time // until then a lost connection is replaced without a caller
	next    int       // the server to try next
	quick   time.Time // when the last connection was made
	failure error     // why the last attempt failed
	denials int       // counts refusals that are final
	changed chan struct{}
}

func newReconnector(d *Driver, ask time.Duration, lease bool) *reconnector {
	return &reconnector{d: d, ask: ask, lease: lease, next: rand.IntN(len(d.servers.addresses)), changed: make(chan struct{})}
}

// signal wakes the callers of up. The lock is held.
func (n *reconnector) signal() {
	close(n.changed)
	n.changed = make(chan struct{})
}

// up returns a connection that is up as far as is known. It waits for one until
// ctx ends. An error means that nothing was sent.
func (n *reconnector) up(ctx context.Context) (*conn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.waiters++
	defer func() { n.waiters-- }()
	for denials := n.denials; ; {
		switch {
		case n.over != nil:
			return nil, n.over
		case n.denials != denials:
			return nil, n.failure
		case ctx.Err() != nil:
			if n.failure != nil {
				return nil, fmt.Errorf("%w: no server could be reached: %w; %w", driver.ErrUnavailable, context.Cause(ctx), n.failure)
			}
			return nil, fmt.Errorf("%w: no server could be reached: %w", driver.ErrUnavailable, context.Cause(ctx))
		case n.conn != nil && n.conn.net.alive():
			return n.conn, nil
		}
		n.dial()
		changed := n.changed
		n.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-changed:
		}
		n.mu.Lock()
	}
}

// present returns the connection that is up, if one is.
func (n *reconnector) present() *conn {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.conn != nil && n.conn.net.alive() {
		return n.conn
	}
	return nil
}

// dial starts to connect, unless that is under way. The lock is held.
func (n *reconnector) dial() {
	if n.dialing || n.over != nil {
		return
	}
	n.dialing = n.d.running.Go(func() {
		if lost := n.connect(); lost != nil {
			lost()
		}
	})
}

// connect tries one server after the other, as long as a caller waits or the
// connection is kept. Each attempt may take a part of the session's timeout, and
// more in each round, as a server may be far away. If the session is gone,
// connect returns the function to call.
func (n *reconnector) connect() (lost func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	tried := make(map[string]bool) // in this round
	for attempt := 0; ; attempt++ {
		if pause := n.pause(attempt); pause > 0 {
			n.mu.Unlock()
			_ = driver.Sleep(n.d.life, pause)
			n.mu.Lock()
		}
		if n.d.life.Err() != nil || n.over != nil || attempt > 0 && n.waiters == 0 && !time.Now().Before(n.kept) {
			n.dialing = false
			n.signal()
			return nil
		}
		if len(tried) == len(n.d.servers.addresses) {
			clear(tried)
		}
		var server string
		server, n.next = n.d.servers.take(n.next, tried)
		tried[server] = true
		s, timeout := n.session, n.patience(n.session, attempt)
		n.mu.Unlock()
		ctx, cancel := context.WithTimeout(n.d.life, timeout)
		c, err := n.d.openConn(ctx, server, s, n.ask, !n.lease)
		cancel()
		if err != nil {
			n.d.servers.free(server)
		}
		n.mu.Lock()
		if n.finished(c, err) {
			if errors.Is(n.over, driver.ErrSessionLost) {
				return n.lost
			}
			return nil
		}
	}
}

// pause is the time before an attempt. There is none before all servers were
// tried, or if the last connection lasted.
func (n *reconnector) pause(attempt int) time.Duration {
	if attempt == 0 && time.Since(n.quick) < time.Second {
		return rand.N(2 * pauseBase)
	}
	return n.d.pause(attempt)
}

// pause is the time between two rounds through all servers.
func (d *Driver) pause(attempt int) time.Duration {
	round := attempt / len(d.servers.addresses)
	if round == 0 || attempt%len(d.servers.addresses) != 0 {
		return 0
	}
	return rand.N(min(pauseBase<<min(round, 10), maxPause))
}

// patience is how long an attempt may take, with a session or for a new one.
func (n *reconnector) patience(s session, attempt int) time.Duration {
	part := min(n.ask/4, 2*time.Second)
	if n.lease && s.id != 0 {
		part /= 2 // the session is running out
	}
	return min(part<<min(attempt/len(n.d.servers.addresses), 10), maxAttempt)
}

// finished records the outcome of an attempt, and reports whether it was the
// last. The lock is held.
func (n *reconnector) finished(c *conn, err error) bool {
	switch {
	case err == nil && (n.over != nil || n.d.life.Err() != nil):
		n.d.servers.free(c.server)
		c.discard(driver.ErrClosed)
	case err == nil:
		n.conn, n.session, n.failure, n.quick = c, c.session, nil, time.Now()
		n.d.running.GoOn(func() { n.serve(c) })
	case errors.Is(err, errExpired) && n.lease:
		n.over = fmt.Errorf("%w: %w", driver.ErrSessionLost, err)
	case errors.Is(err, errExpired):
		n.session, n.failure = session{}, err
		return false
	case errors.Is(err, driver.ErrDenied), errors.Is(err, driver.ErrInvalid):
		n.denials++
		n.failure = err
		n.signal()
		return false
	default:
		n.failure = err
		return false
	}
	n.dialing = false
	n.signal()
	return true
}

// serve runs a connection until it is lost, and replaces it if it is kept.
func (n *reconnector) serve(c *conn) {
	every, within := commonProbe, commonProbe
	if n.lease {
		every, within = n.d.pace(c.session.timeout)
	}
	var lost sync.WaitGroup
	lost.Go(func() { n.replace(c) })
	n.d.generations.admit(n.d, c)
	c.run(every, within)
	lost.Wait()
}

// replace waits until a connection is lost. It does not wait for the end of the
// connection's client, which may take a moment.
func (n *reconnector) replace(c *conn) {
	<-c.net.down
	n.d.servers.free(c.server)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.failure == nil {
		n.failure = c.net.cause()
	}
	if n.conn == c && time.Now().Before(n.kept) {
		n.dial()
	}
	n.signal()
}

// keep replaces lost connections at once until d has passed.
func (n *reconnector) keep(d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if until := time.Now().Add(d); until.After(n.kept) {
		n.kept = until
	}
}

// drop closes the present connection. The next one is made when a caller needs
// it.
func (n *reconnector) drop(why error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.kept = time.Time{}
	if n.conn != nil {
		n.conn.net.kill(why)
	}
}

// finish closes the connection, and makes no other.
func (n *reconnector) finish(why error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.over == nil {
		n.over = why
	}
	n.kept = time.Time{}
	if n.conn != nil {
		n.conn.net.kill(why)
	}
	n.signal()
}

// tell sets the function to call when a server reports that the session is gone.
func (n *reconnector) tell(lost func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lost = lost
}
