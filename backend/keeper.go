package backend

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/internal/trust"
)

const (
	// regrantBase is the first pause's ceiling between sessions: processes that
	// lost theirs together do not come back together.
	regrantBase = 200 * time.Millisecond
	// rejoinEvery spaces what rejoins under a new session of this Store.
	rejoinEvery = 10 * time.Millisecond
)

// keeper grants the Store's session on first need, renews it, and grants
// another after a loss.
type keeper struct {
	store *Store

	mu      sync.Mutex
	current *Session
	last    *Session // opened last
	running bool
	changed chan struct{} // closed when one of the above or failed changes
	failed  error         // why the last run gave up, if it did
	runs    int           // counts runs, so that a waiter knows whose failure it sees
	regrant bool          // the current session is not the first
	rejoin  time.Time     // when the next to rejoin may do so
	done    chan struct{} // closed when the run has ended
}

func (k *keeper) init(s *Store) {
	k.store = s
	k.changed = make(chan struct{})
}

// Session returns the present session, waiting until there is one: the first
// call opens it. After a loss those who ask for the new one are let through
// one by one, a hundredth of a second apart, so that what rejoins does not do
// so all at once.
//
// While the store is away it waits, until ctx ends: then the error is
// ErrUnavailable with the cause. Other errors: ErrDenied, or ErrInvalid if the
// store cannot grant Options.TTL; ErrClosed.
func (s *Store) Session(ctx context.Context) (*Session, error) {
	for {
		session, wait, err := s.keeper.wait(ctx)
		if err != nil {
			return nil, fmt.Errorf("session: %w", err)
		}
		if wait > 0 {
			switch err := s.pause(ctx, wait); {
			case s.life.Err() != nil:
				return nil, fmt.Errorf("session: %w", ErrClosed)
			case err != nil:
				return nil, fmt.Errorf("session: %w: %w", ErrUnavailable, err)
			case !session.Valid():
				continue // lost meanwhile
			}
		}
		return session, nil
	}
}

// LastSession returns the session that was opened last, without I/O and without
// waiting; nil if there has been none. It may be over: ask Valid. It is for
// those who report on the Store; who is to own something calls Session.
func (s *Store) LastSession() *Session {
	s.keeper.mu.Lock()
	defer s.keeper.mu.Unlock()
	return s.keeper.last
}

func (k *keeper) wait(ctx context.Context) (*Session, time.Duration, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for {
		if k.store.life.Err() != nil {
			return nil, 0, ErrClosed
		}
		if k.current != nil && k.current.Valid() {
			return k.current, k.turn(), nil
		}
		if !k.running {
			k.running = true
			k.runs++
			k.done = make(chan struct{})
			go k.run()
		}
		run, changed := k.runs, k.changed
		k.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-k.store.life.Done():
		case <-changed:
		}
		k.mu.Lock()
		if ctx.Err() != nil && k.store.life.Err() == nil {
			return nil, 0, fmt.Errorf("%w: %w", ErrUnavailable, context.Cause(ctx))
		}
		if !k.running && k.runs == run && k.failed != nil {
			return nil, 0, k.failed
		}
	}
}

// turn returns how long the caller has to wait before it rejoins.
func (k *keeper) turn() time.Duration {
	if !k.regrant {
		return 0
	}
	now := time.Now()
	if k.rejoin.Before(now) {
		k.rejoin = now
	}
	wait := k.rejoin.Sub(now)
	k.rejoin = k.rejoin.Add(rejoinEvery)
	return wait
}

func (k *keeper) set(session *Session, running bool, failed error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.current != nil && session != nil {
		k.regrant = true
	}
	if session != nil {
		k.last = session
	}
	if session != nil || !running {
		k.current = session
	}
	k.running, k.failed = running, failed
	close(k.changed)
	k.changed = make(chan struct{})
}

// run keeps sessions until the Store closes or none can be had.
func (k *keeper) run() {
	defer close(k.done)
	var failing bool
	for attempt := 0; ; attempt++ {
		session, err := k.grant()
		granted := trust.Now()
		pause := fullJitter(attempt, regrantBase, k.store.opts.TTL/2)
		switch {
		case k.store.life.Err() != nil:
			if session != nil {
				session.over(ErrClosed)
				k.set(session, true, nil) // for close to revoke
			}
			return
		case err != nil && permanent(err):
			k.store.opts.Logger.Error("no session can be had", "error", err)
			k.set(nil, false, err)
			return
		case err != nil:
			if f := k.store.opts.Trace.Retrying; f != nil {
				f(Retrying{Operation: "grant", Kind: KindSession, Attempt: attempt + 1, Pause: pause, Err: err})
			}
			if !failing {
				failing = true
				k.store.opts.Logger.Warn("cannot open a session, trying until it works", "error", err)
			}
		default:
			failing = false
			k.set(session, true, nil)
			k.keep(session)
			if k.store.life.Err() != nil {
				return
			}
			k.reportLost(session)
			// One that did not even last a TTL counts as another failure: a
			// store that grants sessions and loses them is not to be hurried.
			if trust.Now().Sub(granted) >= session.TTL() {
				attempt = 0
				pause = fullJitter(attempt, regrantBase, k.store.opts.TTL/2)
			}
			k.retire(session)
		}
		if sleep(k.store.life, pause) != nil {
			return
		}
	}
}

// grant opens a session. The window of one whose grant took longer than it is
// worth has closed already, and it is given back.
func (k *keeper) grant() (*Session, error) {
	opts := &k.store.opts
	ctx, cancel := context.WithTimeout(k.store.life, opts.CallTimeout/2)
	defer cancel()
	start := trust.Now()
	var lease driver.Lease
	err := k.store.during(func() (err error) {
		lease, err = k.store.driver.Grant(ctx, opts.TTL)
		return err
	})
	if err != nil {
		return nil, err
	}
	session := newSession(lease, start, opts.margin(lease.TTL()))
	if !session.Valid() {
		session.over(ErrSessionLost)
		k.revoke(session, opts.CallTimeout/2)
		return nil, fmt.Errorf("%w: the grant took longer than the session is worth", ErrUnavailable)
	}
	opts.Logger.Info("session opened", "session", lease.ID(), "ttl", lease.TTL())
	if f := opts.Trace.SessionGranted; f != nil {
		f(SessionGranted{Session: lease.ID(), TTL: lease.TTL(), Took: trust.Now().Sub(start)})
	}
	return session, nil
}

// keep renews the session until it is over: a third of the window after the
// start of the last renewal that counted, so that one that fails leaves time
// for more.
func (k *keeper) keep(session *Session) {
	stop := k.heed(session)
	defer stop()
	window := session.TTL() - session.margin
	due := trust.Now().Add(session.TrustLeft() - window + window/3)
	planned := due // before any attempt failed
	streak := 0
	for {
		timer := time.NewTimer(max(due.Sub(trust.Now()), 0))
		select {
		case <-session.ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		start := trust.Now()
		validFor, err := k.renew(session, start, max(start.Sub(planned), 0), window/4)
		switch {
		case k.store.life.Err() != nil:
			session.over(ErrClosed)
			return
		case err == nil:
			if streak > 0 {
				k.store.orphans.suspect() // an outage is when a store is restored
			}
			streak = 0
			window = validFor - session.margin
			due = start.Add(window / 3)
			planned = due
		case errors.Is(err, ErrSessionLost):
			session.over(err)
			return
		default:
			if streak++; streak == 1 {
				k.store.opts.Logger.Warn("session renewal failed", "session", session.ID(), "trust_left", session.TrustLeft(), "error", err)
			}
			due = trust.Now().Add(fullJitter(streak, window/64, window/16))
		}
	}
}

// heed ends the session when the Store closes or the store says that the lease
// is gone, a renewal under way or not, until the function it returns is called.
func (k *keeper) heed(session *Session) (stop func()) {
	stopped, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-stopped:
		case <-k.store.life.Done():
			session.over(ErrClosed)
		case <-session.lease.Lost():
			session.over(fmt.Errorf("%w: the store said so", ErrSessionLost))
		}
	}()
	return func() {
		close(stopped)
		<-done
	}
}

// renew makes one attempt, that began at start, late by as much as is said.
func (k *keeper) renew(session *Session, start trust.Instant, late, timeout time.Duration) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(session.ctx, timeout)
	defer cancel()
	var validFor time.Duration
	err := k.store.during(func() (err error) {
		validFor, err = session.lease.Renew(ctx)
		return err
	})
	took := trust.Now().Sub(start)
	left := session.TrustLeft()
	answered := err == nil || errors.Is(err, driver.ErrNotCounted)
	if err == nil && validFor <= session.margin {
		err = fmt.Errorf("%w: it holds for %v, which is no more than the margin", driver.ErrNotCounted, validFor)
	}
	if err == nil && !session.extend(start, validFor) {
		err = fmt.Errorf("%w: the trust window closed before the reply came", driver.ErrNotCounted)
	}
	trace := k.store.opts.Trace
	if k.store.life.Err() != nil {
		return 0, ErrClosed // Close ended it: no failure to report
	}
	if err == nil {
		if trace.SessionRenewed != nil {
			trace.SessionRenewed(SessionRenewed{Session: session.ID(), TrustLeft: left, Late: late, Took: took})
		}
		return validFor, nil
	}
	if trace.SessionRenewFailed != nil {
		trace.SessionRenewFailed(SessionRenewFailed{Session: session.ID(), TrustLeft: left, Late: late, Took: took, Answered: answered, Err: err})
	}
	return 0, err
}

// lost is told that the store refused a commit because a lease is gone.
func (k *keeper) lost(lease string, err error) {
	k.mu.Lock()
	session := k.current
	k.mu.Unlock()
	if session != nil && session.ID() == lease {
		session.over(err)
	}
}

func (k *keeper) reportLost(session *Session) {
	cause := context.Cause(session.ctx)
	k.store.opts.Logger.Warn("session lost", "session", session.ID(), "cause", cause)
	if f := k.store.opts.Trace.SessionLost; f != nil {
		f(SessionLost{Session: session.ID(), Cause: cause})
	}
}

// retire revokes a session that is over, so that its keys do not stand in the
// way until they expire. Not before what ran under it has stopped, though, or
// its keys may be gone anyway: the store giving the keys to others is what
// starts others. It tries once: after an outage entries of groups are to stand
// until their owners, who come back one after the other, have new ones.
func (k *keeper) retire(session *Session) {
	timer := time.NewTimer(max(session.expiry(), 0))
	defer timer.Stop()
	select {
	case <-session.unheld():
	case <-timer.C:
	case <-k.store.life.Done():
		return // close revokes it
	}
	k.revoke(session, min(k.store.opts.CallTimeout, session.TTL()/4))
}

func (k *keeper) revoke(session *Session, timeout time.Duration) {
	ctx, cancel := context.WithTimeout(k.store.life, timeout)
	defer cancel()
	if err := k.store.during(func() error { return session.lease.Revoke(ctx) }); err != nil {
		k.store.opts.Logger.Debug("session not revoked, it will expire", "session", session.ID(), "error", err)
	}
}

// close is called once the Store's life has ended.
func (k *keeper) close(ctx context.Context) error {
	k.mu.Lock()
	running, done := k.running, k.done
	k.mu.Unlock()
	if running {
		select {
		case <-done:
		case <-ctx.Done():
			return fmt.Errorf("close: the session's upkeep did not stop: %w", context.Cause(ctx))
		}
	}
	k.mu.Lock()
	session := k.current
	k.mu.Unlock()
	if session == nil {
		return nil
	}
	session.over(ErrClosed)
	select {
	case <-session.unheld():
	case <-ctx.Done():
		return fmt.Errorf("close: the session was not revoked and will expire, since something still runs under it: %w", context.Cause(ctx))
	}
	revoked := make(chan error, 1)
	go func() { revoked <- k.store.during(func() error { return session.lease.Revoke(ctx) }) }()
	var err error
	select {
	case err = <-revoked:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("close: the session was not revoked and will expire: %w", err)
	}
	return nil
}
