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

// sessionManager grants the Store's session when it is first needed, renews it,
// and grants another after a loss.
type sessionManager struct {
	store *Store

	mu      sync.Mutex // guards the fields below
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

func (m *sessionManager) init(s *Store) {
	m.store = s
	m.changed = make(chan struct{})
}

// Session returns the present session, and waits until there is one. The first
// call opens it. After a loss it lets the callers through one by one, 10 ms
// apart, so that primitives do not all return at once.
//
// While the store is unavailable it waits until ctx ends: then the error is
// ErrUnavailable with the cause. Other errors: ErrDenied, or ErrInvalid if the
// store cannot grant Options.TTL; ErrClosed.
func (s *Store) Session(ctx context.Context) (*Session, error) {
	for {
		session, wait, err := s.sessions.wait(ctx)
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
// reports on the Store; to own something call Session.
func (s *Store) LastSession() *Session {
	s.sessions.mu.Lock()
	defer s.sessions.mu.Unlock()
	return s.sessions.last
}

func (m *sessionManager) wait(ctx context.Context) (*Session, time.Duration, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for {
		if m.store.life.Err() != nil {
			return nil, 0, ErrClosed
		}
		if m.current != nil && m.current.Valid() {
			return m.current, m.rejoinDelay(), nil
		}
		if !m.running {
			m.running = true
			m.runs++
			m.done = make(chan struct{})
			go m.run()
		}
		run, changed := m.runs, m.changed
		m.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-m.store.life.Done():
		case <-changed:
		}
		m.mu.Lock()
		if ctx.Err() != nil && m.store.life.Err() == nil {
			return nil, 0, fmt.Errorf("%w: %w", ErrUnavailable, context.Cause(ctx))
		}
		if !m.running && m.runs == run && m.failed != nil {
			return nil, 0, m.failed
		}
	}
}

// rejoinDelay returns how long the caller waits before it rejoins.
func (m *sessionManager) rejoinDelay() time.Duration {
	if !m.regrant {
		return 0
	}
	now := time.Now()
	if m.rejoin.Before(now) {
		m.rejoin = now
	}
	wait := m.rejoin.Sub(now)
	m.rejoin = m.rejoin.Add(rejoinEvery)
	return wait
}

func (m *sessionManager) set(session *Session, running bool, failed error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.current != nil && session != nil {
		m.regrant = true
	}
	if session != nil {
		m.last = session
	}
	if session != nil || !running {
		m.current = session
	}
	m.running, m.failed = running, failed
	close(m.changed)
	m.changed = make(chan struct{})
}

// run keeps sessions until the Store closes or none can be had.
func (m *sessionManager) run() {
	defer close(m.done)
	var failing bool
	for attempt := 0; ; attempt++ {
		session, err := m.grant()
		granted := trust.Now()
		pause := fullJitter(attempt, regrantBase, m.store.opts.TTL/2)
		switch {
		case m.store.life.Err() != nil:
			if session != nil {
				session.over(ErrClosed)
				m.set(session, true, nil) // for close to revoke
			}
			return
		case err != nil && permanent(err):
			m.store.opts.Logger.Error("no session can be had", "error", err)
			m.set(nil, false, err)
			return
		case err != nil:
			if f := m.store.opts.Trace.Retrying; f != nil {
				f(Retrying{Operation: "grant", Kind: KindSession, Attempt: attempt + 1, Pause: pause, Err: err})
			}
			if !failing {
				failing = true
				m.store.opts.Logger.Warn("cannot open a session, trying until it works", "error", err)
			}
		default:
			failing = false
			m.set(session, true, nil)
			m.keep(session)
			if m.store.life.Err() != nil {
				return
			}
			m.reportLost(session)
			// One that did not even last a TTL counts as another failure: a
			// store that grants sessions and loses them is not to be hurried.
			if trust.Now().Sub(granted) >= session.TTL() {
				attempt = 0
				pause = fullJitter(attempt, regrantBase, m.store.opts.TTL/2)
			}
			m.revokeWhenIdle(session)
		}
		if Sleep(m.store.life, pause) != nil {
			return
		}
	}
}

// grant opens a session. The window of one whose grant took longer than it is
// worth has closed already, and it is given back.
func (m *sessionManager) grant() (*Session, error) {
	opts := &m.store.opts
	ctx, cancel := context.WithTimeout(m.store.life, opts.CallTimeout/2)
	defer cancel()
	generation, _ := m.store.driver.Generation()
	start := trust.Now()
	var lease driver.Lease
	err := m.store.urgent(func() (err error) {
		lease, err = m.store.driver.Grant(ctx, opts.TTL)
		return err
	})
	if err != nil {
		return nil, err
	}
	m.store.served.Store(true)
	session := newSession(lease, start, opts.margin(lease.TTL()))
	session.generation = generation
	if !session.Valid() {
		session.over(ErrSessionLost)
		m.revoke(session, opts.CallTimeout/2)
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
func (m *sessionManager) keep(session *Session) {
	stop := m.watchForLoss(session)
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
		validFor, err := m.renew(session, start, max(start.Sub(planned), 0), window/4)
		switch {
		case m.store.life.Err() != nil:
			session.over(ErrClosed)
			return
		case err == nil:
			if streak > 0 {
				m.store.orphans.suspect() // an outage is when a store is restored
			}
			streak = 0
			window = validFor - session.margin
			due = start.Add(window / 3)
			planned = due
		case errors.Is(err, ErrSessionLost):
			session.lost(err)
			return
		default:
			if streak++; streak == 1 {
				m.store.opts.Logger.Warn("session renewal failed", "session", session.ID(), "trust_left", session.TrustLeft(), "error", err)
			}
			due = trust.Now().Add(fullJitter(streak, window/64, window/16))
		}
	}
}

// watchForLoss ends the session as soon as Close begins or the server reports
// the lease lost, even during a renewal. Call stop to end the watch.
func (m *sessionManager) watchForLoss(session *Session) (stop func()) {
	stopped, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-stopped:
		case <-m.store.life.Done():
			session.over(ErrClosed)
		case <-session.lease.Lost():
			session.lost(fmt.Errorf("%w: the store said so", ErrSessionLost))
		}
	}()
	return func() {
		close(stopped)
		<-done
	}
}

// renew makes one attempt, that began at start, late by as much as is said.
func (m *sessionManager) renew(session *Session, start trust.Instant, late, timeout time.Duration) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(session.ctx, timeout)
	defer cancel()
	var validFor time.Duration
	err := m.store.urgent(func() (err error) {
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
	trace := m.store.opts.Trace
	if m.store.life.Err() != nil {
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
func (m *sessionManager) lost(lease string, err error) {
	m.mu.Lock()
	session := m.current
	m.mu.Unlock()
	if session != nil && session.ID() == lease {
		session.lost(err)
	}
}

func (m *sessionManager) reportLost(session *Session) {
	cause := context.Cause(session.ctx)
	m.store.opts.Logger.Warn("session lost", "session", session.ID(), "cause", cause)
	if f := m.store.opts.Trace.SessionLost; f != nil {
		f(SessionLost{Session: session.ID(), Cause: cause})
	}
}

// revokeWhenIdle revokes a session that is over, so that its keys do not block
// others until they expire. It waits until nothing runs under the session, or
// until the keys may be gone anyway: another process may start as soon as they
// are. It tries once: after an outage the entries of groups stay until their
// owners, who come back one after the other, have new ones. Where the store has
// reported the lease lost the keys are gone, and there is nothing to wait for.
func (m *sessionManager) revokeWhenIdle(session *Session) {
	timer := time.NewTimer(max(session.expiry(), 0))
	defer timer.Stop()
	select {
	case <-session.gone:
	case <-session.lease.Lost():
	case <-m.store.life.Done():
		return // close revokes it
	case <-session.unheld():
	case <-timer.C:
	}
	if session.reportedLost() {
		return
	}
	m.revoke(session, min(m.store.opts.CallTimeout, session.TTL()/4))
}

func (m *sessionManager) revoke(session *Session, timeout time.Duration) {
	ctx, cancel := context.WithTimeout(m.store.life, timeout)
	defer cancel()
	if err := m.store.during(func() error { return session.lease.Revoke(ctx) }); err != nil {
		m.store.opts.Logger.Debug("session not revoked, it will expire", "session", session.ID(), "error", err)
	}
}

// close is called once the Store's life has ended.
func (m *sessionManager) close(ctx context.Context) error {
	m.mu.Lock()
	running, done := m.running, m.done
	m.mu.Unlock()
	if running {
		select {
		case <-done:
		case <-ctx.Done():
			return fmt.Errorf("close: the session's upkeep did not stop: %w", context.Cause(ctx))
		}
	}
	m.mu.Lock()
	session := m.current
	m.mu.Unlock()
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
	go func() { revoked <- m.end(ctx, session) }()
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

// end ends the session in the store. A failure that may pass is tried again until
// ctx ends.
func (m *sessionManager) end(ctx context.Context, session *Session) error {
	for attempt := 0; ; attempt++ {
		err := m.store.during(func() error { return session.lease.Revoke(ctx) })
		if err == nil || m.store.verdict(err) != passing || driver.Sleep(ctx, fullJitter(attempt, retryBase, retryCap)) != nil {
			return err
		}
	}
}
