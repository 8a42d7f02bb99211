package partition

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/internal/trust"
	"github.com/quorate/quorate/membership"
)

const (
	// leaveTimeout is for how long a member that leaves tries to plan the slots
	// without itself before it stops them.
	leaveTimeout = 2 * time.Second
	// gaveUpFor is for how long a member does not run a slot that it gave up.
	gaveUpFor = 10 * time.Minute
)

// What ends a member; as backend.ErrFenced it ends a Retry too.
var (
	errGone    = fmt.Errorf("%w: the claims are gone from the store", backend.ErrFenced)
	errForeign = fmt.Errorf("%w: the claims in the store are not as this process left them", backend.ErrFenced)
	errLeft    = fmt.Errorf("%w: the member has left", backend.ErrFenced)
)

// member is one registration that shares the slots. One goroutine, serve, does
// all that concerns the store; others run the bodies and wake it.
type member struct {
	*Partition
	entry        *membership.Entry
	session      *backend.Session
	registration string // the registration
	key          string // of its claims
	body         func(context.Context, *Slot) error
	base         context.Context // what bodies' contexts descend from
	caller       context.Context // Run's
	bodies       sync.WaitGroup
	helpers      sync.WaitGroup
	wakes        chan struct{}

	// The following are serve's alone.
	inDoubt   bool      // a creation of the claims may still be applied
	own       written   // the claims as last known
	sent      []written // on that version, with unknown outcome
	writes    uint64
	gaveUpAt  map[int]time.Time
	leaving   time.Time // since when, zero if not
	why       error     // leaving: what for
	planned   bool      // leaving: the plan does not need this member any more
	read      reading
	evidence  evidence
	missing   map[string]time.Time // owners without claims, since when
	deploy    deploy
	planAt    time.Time // when to look whether the plan is right, zero if nothing calls for it
	checkAt   time.Time // and when in any case
	confirmAt time.Time // Strict: when to read the own claims
	waiting   *waiting  // for others' claims

	mu      sync.Mutex
	slots   map[int]*Slot // whose bodies may be running
	stopped error         // why nothing may be begun any more
	window  *trust.Window // Strict only
	view    bool          // the members, or what operators ask for, have changed
	failed  error         // of a helper
	orphans int           // bodies that run on though serve has ended
}

// written is a value of the own claims.
type written struct {
	value   []byte
	version backend.Version
	claims  *claims
}

func (w *written) entry(key string) backend.Entry {
	return backend.Entry{Key: key, Value: w.value, Version: w.version}
}

// reading is what the last look at the store showed.
type reading struct {
	marks   []backend.Entry
	there   bool            // there is a plan
	plan    *plan           // the last there was, if any
	version backend.Version // of it
	fork    bool            // it is from another history: it is not acted on
	mark    backend.Version // of its line, zero if that is not there
}

func newMember(caller context.Context, p *Partition, entry *membership.Entry, body func(context.Context, *Slot) error) *member {
	return &member{
		Partition: p, entry: entry, session: entry.Session,
		registration: entry.Registration, key: p.keys.claimsOf(entry.Registration),
		body: body, base: context.WithoutCancel(caller), caller: caller, wakes: make(chan struct{}, 1),
		gaveUpAt: make(map[int]time.Time), missing: make(map[string]time.Time), slots: make(map[int]*Slot),
	}
}

// wake makes serve look at the store again.
func (m *member) wake() {
	select {
	case m.wakes <- struct{}{}:
	default:
	}
}

// serve shares the slots until the registration is over, and then returns nil
// once nothing of it is left; an error is for good.
func (m *member) serve(caller context.Context) error {
	ctx := m.entry.Context()
	m.reserve()
	defer m.release()
	err := m.create(ctx)
	if err == nil {
		helping, end := context.WithCancel(ctx)
		m.help(helping)
		err = m.loop(ctx)
		m.stopAll(m.causeOf(err))
		end()
		m.waitFor(ctx, nil)
	}
	m.stopAll(m.causeOf(err))
	orphans := m.join()
	m.helpers.Wait()
	m.mu.Lock()
	if m.window != nil {
		m.window.Close()
	}
	m.mu.Unlock()
	if len(orphans) > 0 {
		m.abandon()
		return overrun(orphans)
	}
	m.cleanUp()
	m.retire(m.inDoubt)
	switch {
	case errors.Is(err, errLeft):
		return m.why
	case caller.Err() != nil:
		return context.Cause(caller)
	case ctx.Err() == nil && !isOver(err):
		return err
	}
	m.store.Logger().Warn("the registration is over", "partition", m.name, "registration", m.registration, "error", err)
	return nil
}

// causeOf returns with what cause the bodies' contexts end after err.
func (m *member) causeOf(err error) error {
	if errors.Is(err, errLeft) {
		return m.why
	}
	if cause := context.Cause(m.entry.Context()); cause != nil {
		err = cause
	}
	return fmt.Errorf("%w: %w", ErrLost, err)
}

// create makes the own claims. It sends the same until it knows them to be
// there: the key is of this registration alone, so whichever lands is good.
// They say that the member is leaving, which the first write takes back: should
// one that was sent in vain land after the registration has ended, nobody will
// plan with it.
func (m *member) create(ctx context.Context) error {
	doc := &claims{
		process: m.process, epoch: m.highest().epoch, weight: m.weightNow(), zone: m.opts.Zone, version: m.opts.Version, leaving: true,
		slots: make(map[int]uint64), gaveUp: make(map[int]bool),
	}
	value := doc.encode()
	return m.store.Retry(ctx, m.subject(), "create claims", func(ctx context.Context) error {
		result, err := m.store.Commit(ctx, backend.Txn{
			Ops: []backend.Op{backend.CreateEphemeral(m.key, value)}, Lease: m.session.ID(),
		})
		if err == nil && result.Applied {
			m.own = written{value, result.Versions[0], doc}
			return nil
		}
		m.inDoubt = m.inDoubt || errors.Is(err, backend.ErrIndeterminate)
		if err != nil && (!errors.Is(err, backend.ErrIndeterminate) || ctx.Err() != nil) {
			return err
		}
		entry, found, readErr := m.store.Get(ctx, m.key)
		switch {
		case readErr != nil:
			return readErr
		case !found:
			return fmt.Errorf("%w: not there yet", backend.ErrIndeterminate)
		case !bytes.Equal(entry.Value, value) || entry.Lease != m.session.ID():
			return errForeign
		}
		m.own = written{value, entry.Version, doc}
		return nil
	})
}

// loop does what there is to do, and waits for more.
func (m *member) loop(ctx context.Context) error {
	m.arm(time.Now())
	m.check(time.Now())
	for {
		if err := m.store.RetryUnder(ctx, m.session, m.subject(), "reconcile", m.round); err != nil {
			return err
		}
		m.mu.Lock()
		failed := m.failed
		m.mu.Unlock()
		if failed != nil {
			return failed
		}
		gone := m.caller.Done()
		if !m.leaving.IsZero() {
			gone = nil
		}
		timer := time.NewTimer(time.Until(m.due()))
		select {
		case <-m.wakes:
		case <-timer.C:
		case <-gone:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// due returns when there is something to do though nothing has happened.
func (m *member) due() time.Time {
	due := m.checkAt
	if m.planned { // and waits for its bodies alone
		due = time.Now().Add(m.session.TTL())
	}
	earlier := func(t time.Time) {
		if !t.IsZero() && t.Before(due) {
			due = t
		}
	}
	if !m.planned {
		earlier(m.planAt)
	}
	earlier(m.confirmAt)
	earlier(m.evidence.due)
	for _, at := range m.gaveUpAt {
		earlier(at.Add(gaveUpFor))
	}
	if !m.leaving.IsZero() && !m.planned {
		earlier(m.leaving.Add(leaveTimeout))
	}
	return due
}

// arm plans for a look at the plan, once things have settled.
func (m *member) arm(now time.Time) {
	if at := now.Add(m.opts.Settle + rand.N(m.opts.Settle)); m.planAt.IsZero() || at.Before(m.planAt) {
		m.planAt = at
	}
}

// check plans for the next look at the plan that nothing calls for: a few times
// per TTL in the whole group, whatever its size.
func (m *member) check(now time.Time) {
	half := m.session.TTL() / 2
	spread := max(len(m.group.View().Members)/4, 1)
	m.checkAt = now.Add(half + rand.N(half*time.Duration(spread)))
}

// stopAll ends the contexts of all bodies, and lets nothing begin any more. If
// the cause is that they are lost they must not even drain.
func (m *member) stopAll(cause error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopped == nil {
		m.stopped = cause
	}
	for _, s := range m.slots {
		if errors.Is(cause, ErrLost) {
			s.lose(cause)
		} else {
			s.cancel(cause)
		}
	}
}

// cleanUp takes the own claims out of the store, now that no body runs: they
// must not stand when the next registration begins, nor for the rest of the
// session. Where the session is over they go, or went, with it.
func (m *member) cleanUp() {
	_ = m.store.CleanUp(m.session.Context(), m.session, m.subject(), "release all slots", func(ctx context.Context) error {
		_, err := m.store.Commit(ctx, backend.Txn{Ops: []backend.Op{backend.Delete(m.key, backend.Version{})}})
		return err
	})
}

// help begins to watch what concerns the member.
func (m *member) help(ctx context.Context) {
	m.helpers.Go(func() {
		select {
		case <-m.caller.Done():
			if backend.Sleep(ctx, leaveTimeout) == nil {
				m.stopAll(context.Cause(m.caller)) // though the store may be away
			}
		case <-ctx.Done():
		}
	})
	m.helpers.Go(func() {
		for _, err := range m.group.Watch(ctx) {
			if err != nil {
				m.fail(ctx, err)
				return
			}
			m.mu.Lock()
			m.view = true
			m.mu.Unlock()
			m.wake()
		}
	})
	w, err := m.store.Watch(backend.Key(m.key), backend.Key(m.keys.plan), backend.Dir(m.keys.line), backend.Key(m.keys.control))
	if err != nil {
		m.fail(ctx, err)
		return
	}
	m.helpers.Go(func() {
		defer w.Close()
		var control backend.Version
		for {
			if err := w.Next(ctx); err != nil {
				m.fail(ctx, err)
				return
			}
			if now := versionOf(w.Entries(3)); now != control {
				control = now
				m.mu.Lock()
				m.view = true
				m.mu.Unlock()
			}
			if len(w.Entries(0)) == 0 {
				// They were there before the watch began. To stop is always safe.
				m.stopAll(fmt.Errorf("%w: %w", ErrLost, errGone))
			}
			m.wake()
		}
	})
}

func (m *member) fail(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	m.mu.Lock()
	m.failed = err
	m.mu.Unlock()
	m.wake()
}
