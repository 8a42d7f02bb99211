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
	// commonTimeout is the session timeout of the common line. Nothing hangs
	// on that session.
	commonTimeout = 10 * time.Second
	// commonProbe is how often the common link is touched, and how long the
	// answer may take.
	commonProbe = 2 * time.Second

	maxAttempt = 5 * time.Second
	pauseBase  = 20 * time.Millisecond
	maxPause   = 500 * time.Millisecond
)

// line is a way to the ensemble: at most one link at a time, made when it is
// needed, to one server after the other until one answers.
type line struct {
	d     *Driver
	ask   time.Duration
	lease bool // there is no session after the first

	mu      sync.Mutex
	link    *link
	session session // to be taken over by the next link
	lost    func()  // is told when a lease's session is gone
	over    error   // why there will be no link any more
	dialing bool
	waiters int
	kept    time.Time // until then a link that is lost is replaced unasked
	next    int       // the server to try next
	quick   time.Time // when the last link was made
	failure error     // why the last attempt failed
	denials int       // counts refusals for good
	changed chan struct{}
}

func newLine(d *Driver, ask time.Duration, lease bool) *line {
	return &line{d: d, ask: ask, lease: lease, next: rand.IntN(len(d.servers)), changed: make(chan struct{})}
}

// signal wakes who waits in up. The lock is held.
func (n *line) signal() {
	close(n.changed)
	n.changed = make(chan struct{})
}

// up returns a link that is up as far as is known, waiting for one until ctx
// ends. Its errors mean that nothing was sent.
func (n *line) up(ctx context.Context) (*link, error) {
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
		case n.link != nil && n.link.socket.alive():
			return n.link, nil
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

// present returns the link that is up, if one is.
func (n *line) present() *link {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.link != nil && n.link.socket.alive() {
		return n.link
	}
	return nil
}

// dial has a link made, unless that is under way. The lock is held.
func (n *line) dial() {
	if n.dialing || n.over != nil {
		return
	}
	n.dialing = n.d.running.Go(func() {
		if lost := n.connect(); lost != nil {
			lost()
		}
	})
}

// connect tries one server after the other, as long as somebody waits for a
// link or the line is kept. Each gets a part of the session's timeout, and
// more with each round, for it may be far away. It returns whom to tell that
// the session is gone, if it is.
func (n *line) connect() (lost func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for attempt := 0; ; attempt++ {
		if pause := n.pause(attempt); pause > 0 {
			n.mu.Unlock()
			timer := time.NewTimer(pause)
			select {
			case <-timer.C:
			case <-n.d.life.Done():
				timer.Stop()
			}
			n.mu.Lock()
		}
		if n.d.life.Err() != nil || n.over != nil || attempt > 0 && n.waiters == 0 && !time.Now().Before(n.kept) {
			n.dialing = false
			n.signal()
			return nil
		}
		server := n.d.servers[n.next%len(n.d.servers)]
		n.next++
		s, timeout := n.session, n.patience(n.session, attempt)
		n.mu.Unlock()
		ctx, cancel := context.WithTimeout(n.d.life, timeout)
		l, err := n.d.openLink(ctx, server, s, n.ask)
		cancel()
		n.mu.Lock()
		if n.settle(l, err) {
			if errors.Is(n.over, driver.ErrSessionLost) {
				return n.lost
			}
			return nil
		}
	}
}

// pause is the time to wait before an attempt: none until all servers have
// been tried, or if the last link lasted.
func (n *line) pause(attempt int) time.Duration {
	if attempt == 0 && time.Since(n.quick) < time.Second {
		return rand.N(2 * pauseBase)
	}
	return n.d.pause(attempt)
}

// pause is what it is for a line, between the rounds through all servers.
func (d *Driver) pause(attempt int) time.Duration {
	round := attempt / len(d.servers)
	if round == 0 || attempt%len(d.servers) != 0 {
		return 0
	}
	return rand.N(min(pauseBase<<min(round, 10), maxPause))
}

// patience is how long an attempt may take, with a session or for a new one.
func (n *line) patience(s session, attempt int) time.Duration {
	part := min(n.ask/4, 2*time.Second)
	if n.lease && s.id != 0 {
		part /= 2 // it is running out
	}
	return min(part<<min(attempt/len(n.d.servers), 10), maxAttempt)
}

// settle takes note of how an attempt ended, and reports whether it was the
// last. The lock is held.
func (n *line) settle(l *link, err error) bool {
	switch {
	case err == nil && (n.over != nil || n.d.life.Err() != nil):
		l.discard(driver.ErrClosed)
	case err == nil:
		n.link, n.session, n.failure, n.quick = l, l.session, nil, time.Now()
		n.d.running.GoOn(func() { n.serve(l) })
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

// serve runs a link to its end, and has the next one made if the line is kept.
func (n *line) serve(l *link) {
	every, within := commonProbe, commonProbe
	if n.lease {
		every, within = n.d.pace(l.session.timeout)
	}
	var lost sync.WaitGroup
	lost.Go(func() { n.replace(l) })
	n.d.history.admit(n.d, l)
	l.run(every, within)
	lost.Wait()
}

// replace waits for the end of a link's connection. It does not wait for the
// end of its client, which may take a moment.
func (n *line) replace(l *link) {
	<-l.socket.down
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.failure == nil {
		n.failure = l.socket.cause()
	}
	if n.link == l && time.Now().Before(n.kept) {
		n.dial()
	}
	n.signal()
}

// keep has links replaced as soon as they are lost, until d has passed.
func (n *line) keep(d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if until := time.Now().Add(d); until.After(n.kept) {
		n.kept = until
	}
}

// drop closes the present link, and makes no other unless it is asked for.
func (n *line) drop(why error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.kept = time.Time{}
	if n.link != nil {
		n.link.socket.kill(why)
	}
}

// finish closes the line for good.
func (n *line) finish(why error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.over == nil {
		n.over = why
	}
	n.kept = time.Time{}
	if n.link != nil {
		n.link.socket.kill(why)
	}
	n.signal()
}

// tell sets who is told when a server says that the session is gone.
func (n *line) tell(lost func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lost = lost
}
