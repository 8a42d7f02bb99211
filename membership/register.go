package membership

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/quorate/quorate/backend"
)

// run keeps the member registered until the membership ends, and clears up.
func (r *Registration) run() {
	err := r.serve()
	if err != nil && r.life.Err() == nil {
		r.group.store.Logger().Error("membership ended", "group", r.group.name, "id", r.doc.ID, "error", err)
		r.finish(err)
	}
	r.clearUp()
	r.group.drop(r)
	close(r.done)
}

// replaced reports whether the last entry may still be there beside the one
// that is being created: both are under one session. r.mu is held.
func (r *Registration) replaced() bool { return r.pending != "" && r.lastSession == r.session }

// serve registers under one session after the other. It returns nil when the
// membership has ended.
func (r *Registration) serve() error {
	var backoff *rejoinBackoff // after a loss
	for r.life.Err() == nil {
		session, err := r.group.openSession(r.life)
		if err != nil {
			return err
		}
		if backoff != nil && !r.await(backoff, session) {
			continue
		}
		entry, err := r.register(session)
		switch {
		case err == nil:
			if err := r.keep(entry); err != nil {
				return err
			}
			backoff = r.newBackoff(entry)
		case session.Context().Err() == nil || errors.Is(err, backend.ErrClosed):
			return err
		}
	}
	return nil
}

// errSent: a create is in doubt and its key is not there, yet.
var errSent = errors.New("the outcome of a registration is not known")

// register creates an entry under session.
func (r *Registration) register(session *backend.Session) (entry *Entry, err error) {
	ctx, cancel := backend.JoinContexts(r.life, session.Context())
	defer cancel(nil)
	err = r.group.store.Retry(ctx, r.group.subject(), "register", func(ctx context.Context) error {
		entry, err = r.create(ctx, session)
		return err
	})
	return entry, err
}

// create makes one attempt, under a name of its own: should an earlier one
// land after it was given up, it is swept.
func (r *Registration) create(ctx context.Context, session *backend.Session) (*Entry, error) {
	name := r.newName()
	key := r.key(name)
	seen := r.group.delivered()
	r.mu.Lock()
	givenUp := r.inDoubt == session // the name before
	r.pending, r.session, r.sent = name, session, true
	r.doc.Since, r.doc.TTLMillis = r.first, session.TTL().Milliseconds()
	doc := r.doc
	r.mu.Unlock()
	if givenUp {
		r.group.claimant.GaveUp(session, true)
	}
	result, err := r.group.store.Commit(ctx, backend.Txn{
		Ops: []backend.Op{backend.CreateEphemeral(key, encode(doc))}, Lease: session.ID(),
	})
	if errors.Is(err, backend.ErrIndeterminate) {
		r.mu.Lock()
		r.inDoubt = session
		r.mu.Unlock()
	}
	switch {
	case err == nil && result.Applied:
	case err == nil:
		return nil, fmt.Errorf("%w: %q is there already", errSent, key)
	case errors.Is(err, backend.ErrIndeterminate) && ctx.Err() == nil:
		_, found, readErr := r.group.store.Get(ctx, key)
		if readErr != nil {
			return nil, readErr
		}
		if !found {
			return nil, fmt.Errorf("%w: %w", errSent, err)
		}
	default:
		return nil, err
	}
	return r.registered(session, name, seen, doc.Update), nil
}

func (r *Registration) registered(session *backend.Session, name string, seen, update uint64) *Entry {
	s := &Entry{owner: r, Registration: name, Session: session, key: r.key(name), since: seen, stood: time.Now()}
	s.ctx, s.end = backend.JoinContexts(r.life, session.Context())
	r.mu.Lock()
	replaced := r.replaced()
	r.entry, r.lastName, r.lastSession, r.pending = s, name, session, ""
	r.stored = max(r.stored, update)
	r.broadcast()
	r.mu.Unlock()
	if replaced {
		r.group.claimant.GaveUp(session, true)
	}
	r.group.store.Logger().Info("registered", "group", r.group.name, "id", r.doc.ID, "registration", name)
	return s
}

// errGone: an entry is not in the store any more, though its
// session is trusted.
var errGone = errors.New("the entry is gone")

// keep compares the entry with what it should be, at each news, until it is
// over. An error is for good.
func (r *Registration) keep(s *Entry) error {
	defer func() {
		s.end(backend.ErrSessionLost) // has a cause already, save for an error
		r.mu.Lock()
		r.entry = nil
		r.broadcast()
		r.mu.Unlock()
	}()
	for {
		st, news := r.group.present()
		r.mu.Lock()
		changed := r.changed
		r.mu.Unlock()
		err := r.group.store.RetryUnder(s.ctx, s.Session, r.group.subject(), "sync", func(ctx context.Context) error {
			return r.compare(ctx, s, st)
		})
		switch {
		case errors.Is(err, errOver):
			s.end(fmt.Errorf("%w: %w", backend.ErrSessionLost, errGone))
			return nil
		case s.ctx.Err() != nil || errors.Is(err, backend.ErrSessionLost):
			return nil
		case err != nil:
			return err
		}
		var again <-chan time.Time
		if !s.disputed.IsZero() {
			again = time.After(s.Session.TTL() / 2)
		} else if !s.seen {
			again = time.After(lag)
		}
		select {
		case <-news:
		case <-changed:
		case <-again:
		case <-s.ctx.Done():
			return nil
		}
	}
}

// errOver ends a Retry: it wraps an error that is final there.
var errOver = fmt.Errorf("%w: %w", backend.ErrFenced, errGone)

// lag is how long an entry may take to be seen by its own process.
const lag = 2 * time.Second

// compare does what a state calls for. A state may be from before the last
// commit, so what it does not show as it should be is read afresh.
func (r *Registration) compare(ctx context.Context, s *Entry, st *state) error {
	r.mu.Lock()
	doc := r.doc
	wrong := r.stored < doc.Update
	r.mu.Unlock()
	own := st.records[s.Registration]
	switch {
	case own != nil:
		s.seen = true
		if own.rank() < st.leftRank[own.id] {
			r.finish(fmt.Errorf("%w, and has left", ErrSuperseded))
			return nil
		}
		if r.superseded(s, own, st.holders[own.id]) {
			return nil
		}
		r.mu.Lock()
		if r.first == 0 || own.created < r.first {
			r.first = own.created // the first entry, or another history
		}
		r.mu.Unlock()
		wrong = wrong || own.doc.Update != doc.Update
	case st.number > s.since:
		// A watch may lag, by much when many join: it is given some time before
		// all of them ask.
		wrong = wrong || s.seen || time.Since(s.stood) >= lag
	}
	if !wrong || s.checked == st.number && s.update == doc.Update {
		return nil
	}
	if err := r.correct(ctx, s); err != nil {
		return err
	}
	s.checked, s.update = st.number, doc.Update
	return nil
}

// superseded ends the membership if holder has taken the ID.
func (r *Registration) superseded(s *Entry, own, holder *record) bool {
	if holder == nil || holder.doc.Incarnation == r.incarnation || newer(own, holder) > 0 {
		s.disputed = time.Time{}
		return false
	}
	if holder.created < own.created {
		// It was there before this entry, so it may be a dead one that a restore
		// brought back. That goes once its lease has expired, which takes two
		// TTLs at the most.
		if s.disputed.IsZero() {
			s.disputed = time.Now()
		}
		if time.Since(s.disputed) < s.Session.TTL()*5/2 {
			return false
		}
	}
	r.group.store.Logger().Warn("another process has joined under the same ID, this membership ends", "group", r.group.name, "id", r.doc.ID, "registration", holder.name)
	r.finish(fmt.Errorf("%w: %s", ErrSuperseded, holder.name))
	return true
}

// correct makes the entry what it should be.
func (r *Registration) correct(ctx context.Context, s *Entry) error {
	entry, found, err := r.group.store.Get(ctx, s.key)
	if err != nil {
		return err
	}
	for {
		if !found {
			return errOver
		}
		rec, err := parse(r.group.dir, entry)
		r.mu.Lock()
		doc := r.doc
		r.mu.Unlock()
		if err == nil && rec.doc.Update == doc.Update {
			r.mu.Lock()
			if r.stored < doc.Update {
				r.stored = doc.Update
				r.broadcast()
			}
			r.mu.Unlock()
			return nil
		}
		if rec != nil {
			doc.Since = rec.doc.Since // fixed when the entry was created
		}
		result, err := r.group.store.Commit(ctx, backend.Txn{Ops: []backend.Op{backend.Put(s.key, encode(doc), entry.Version)}})
		if err != nil {
			return err // if in doubt, the Retry reads it again
		}
		if result.Applied || result.Current == nil {
			if entry, found, err = r.group.store.Get(ctx, s.key); err != nil {
				return err
			}
			continue
		}
		entry, found = result.Current[s.key]
	}
}

// delivered returns the number of the last state.
func (g *Group) delivered() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.state.number
}

// present returns the last state, and what is closed when there is a newer one.
func (g *Group) present() (*state, <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.state, g.changed
}
