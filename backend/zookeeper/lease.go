package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/quorate/quorate/backend/driver"
)

// lease is a session, with connections of its own.
type lease struct {
	d           *Driver
	id          string
	ttl         time.Duration
	reconnector *reconnector
	ephemerals  ephemerals

	once sync.Once
	lost chan struct{}
	// lapse closes the connection when renewals have stopped. The client's own
	// pings would keep the session for ever.
	lapse *time.Timer
}

// Grant opens a session. The servers may grant a longer timeout than was asked
// for, and a shorter one, which is ErrInvalid.
func (d *Driver) Grant(ctx context.Context, ttl time.Duration) (driver.Lease, error) {
	if ttl < time.Millisecond || ttl > math.MaxInt32*time.Millisecond {
		return nil, fmt.Errorf("%w: the TTL is %v", driver.ErrInvalid, ttl)
	}
	n := newReconnector(d, ttl, true)
	c, err := n.up(ctx)
	if err != nil {
		n.finish(driver.ErrClosed)
		return nil, driver.Ended(ctx, fmt.Errorf("opening a session: %w", err))
	}
	granted := c.session.timeout
	switch {
	case granted < ttl:
		err = fmt.Errorf("%w: a session timeout of %v was asked for and %v granted: the servers' maxSessionTimeout is below it", driver.ErrInvalid, ttl, granted)
	case granted < 2*d.opts.Tick:
		err = fmt.Errorf("%w: a session timeout of %v is below two ticks of %v; Options.Tick must be what tickTime is on the servers", driver.ErrInvalid, granted, d.opts.Tick)
	}
	l := &lease{d: d, id: leaseID(c.session.id), ttl: granted, reconnector: n, lost: make(chan struct{})}
	if err != nil {
		err = errors.Join(err, l.end(ctx))
		n.finish(driver.ErrClosed)
		return nil, err
	}
	n.tell(l.lose)
	l.lapse = time.AfterFunc(granted, l.lapsed)
	l.used()
	d.mu.Lock()
	d.leases[l.id] = l
	d.mu.Unlock()
	return l, nil
}

// leaseID is the name of a session, as ZooKeeper's own tools show it.
func leaseID(session int64) string { return fmt.Sprintf("0x%x", uint64(session)) }

func (l *lease) ID() string            { return l.id }
func (l *lease) TTL() time.Duration    { return l.ttl }
func (l *lease) Lost() <-chan struct{} { return l.lost }

// pace is the pause between two touches of a lease's connection, and the time
// allowed for the answer. A renewal can be credited with each touch. A silent
// server must be left well before the trust in the session ends.
func (d *Driver) pace(timeout time.Duration) (every, within time.Duration) {
	spare := timeout - d.opts.Tick
	return max(spare/8, time.Millisecond), max(spare/5, time.Millisecond)
}

// used keeps the connection for another timeout.
func (l *lease) used() {
	l.reconnector.keep(l.ttl)
	l.lapse.Reset(l.ttl)
}

func (l *lease) lapsed() { l.reconnector.drop(errLapsed) }

var errLapsed = errors.New("the session was not renewed for as long as its timeout")

// lose tells the lease's owner that the session is gone.
func (l *lease) lose() {
	l.once.Do(func() {
		close(l.lost)
		l.lapse.Stop()
		l.d.forget(l.id)
		l.reconnector.finish(fmt.Errorf("%w: session %s is gone", driver.ErrSessionLost, l.id))
	})
}

func (d *Driver) forget(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.leases, id)
}

// Renew returns once a quorum has agreed to a commit of nothing that was sent
// on the session's connection. It credits what the leader surely knows by then.
//
// The leader alone decides when a session expires. A follower reports the
// sessions that it heard from with its next answer to a ping, at most half a
// tick later. If it dies before that, the leader never knows. So an acknowledged
// request proves little about what the leader knows now. The quorum's agreement
// proves that the server still followed the leader. So it has reported what it
// had acknowledged a tick before on the same connection.
//
// The handshake counts at once: the server asks the leader whether the session
// exists, and the leader starts its timeout anew.
func (l *lease) Renew(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	l.used()
	c, err := l.up(ctx)
	if err != nil {
		return 0, driver.Ended(ctx, err)
	}
	credited, err := c.prove(ctx)
	if err != nil {
		return 0, driver.Ended(ctx, l.judge(classify(err, false)))
	}
	validFor := l.ttl
	if credited.Before(began) {
		validFor -= age(began, credited)
	}
	if validFor <= 0 {
		return 0, fmt.Errorf("%w: the newest request on session %s that the leader surely knows of is %v old", driver.ErrNotCounted, l.id, age(began, credited))
	}
	return validFor, nil
}

// prove returns as soon as a quorum has confirmed more than before. That may be
// the answer to this barrier, or to an earlier one whose caller has stopped
// waiting.
func (c *conn) prove(ctx context.Context) (credited time.Time, _ error) {
	before, _ := c.acks.proof()
	answered := make(chan error, 1)
	go func() { answered <- c.barrier(ctx) }()
	for {
		now, next := c.acks.proof()
		if now.After(before) {
			return now, nil
		}
		select {
		case err := <-answered:
			now, _ := c.acks.proof()
			return now, err
		case <-next:
		}
	}
}

// up returns a connection on which the session exists, as far as is known.
func (l *lease) up(ctx context.Context) (*conn, error) {
	select {
	case <-l.lost:
		return nil, fmt.Errorf("%w: session %s is gone", driver.ErrSessionLost, l.id)
	default:
	}
	c, err := l.reconnector.up(ctx)
	return c, l.judge(err)
}

// judge ends the lease if err says that the session is gone.
func (l *lease) judge(err error) error {
	switch {
	case errors.Is(err, driver.ErrSessionLost):
		l.lose()
	case errors.Is(err, zk.ErrSessionExpired):
		err = fmt.Errorf("%w: %w", driver.ErrSessionLost, err)
		l.lose()
	}
	return err
}

// Revoke ends the session on a connection of its own, which takes the session
// over. So the answer is surely the one to this request. Whether it succeeds or
// not, the session is no longer kept, and a commit that names it is
// ErrSessionLost.
func (l *lease) Revoke(ctx context.Context) error {
	l.d.forget(l.id)
	select {
	case <-l.lost:
		return nil
	default:
	}
	if err := l.end(ctx); err != nil {
		return driver.Ended(ctx, err)
	}
	l.lose()
	return nil
}

var errRevoked = errors.New("the session is being revoked")

// end tries one server after the other until one has ended the session.
func (l *lease) end(ctx context.Context) error {
	l.reconnector.drop(errRevoked)
	l.reconnector.mu.Lock()
	s, next := l.reconnector.session, l.reconnector.next-1 // the server of the last connection
	l.reconnector.mu.Unlock()
	for attempt := 0; ; attempt++ {
		try, cancel := context.WithTimeout(ctx, l.reconnector.patience(s, attempt))
		err := l.d.endSession(try, l.d.servers.addresses[(next+attempt)%len(l.d.servers.addresses)], s)
		cancel()
		switch {
		case err == nil, errors.Is(err, errExpired):
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("%w: ending session %s: %w: %w", driver.ErrUnavailable, l.id, context.Cause(ctx), err)
		}
		_ = driver.Sleep(ctx, l.d.pause(attempt+1))
	}
}

// endSession connects to a server with a session and ends it.
func (d *Driver) endSession(ctx context.Context, server string, s session) error {
	conn, raw, err := d.connect(ctx, server)
	if err != nil {
		return err
	}
	defer hangUp(raw)
	defer context.AfterFunc(ctx, func() { hangUp(raw) })()
	s, _, err = greet(conn, s, s.timeout)
	if err != nil {
		return err
	}
	return leaveSession(conn, d.opts.Auth, s.numbers.next())
}
