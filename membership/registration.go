package membership

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/quorate/quorate/backend"
)

// maxMetaBytes bounds ID, Addr and Meta together.
const maxMetaBytes = 16 << 10

// Registration is this process's membership under one ID: one incarnation. It
// lasts through losses of the session and outages of the store. It ends with
// Leave, when a newer incarnation joins under the same ID, or when the Group or
// the Store is closed. Its methods may be called concurrently.
type Registration struct {
	group       *Group
	id          string
	incarnation string

	life context.Context // what Context returns
	end  context.CancelCauseFunc
	done chan struct{} // closed when nothing is done for it any more

	mu          sync.Mutex
	changed     chan struct{}    // closed when one of the following has changed
	doc         entryDocument    // what is to stand in the store
	stored      uint64           // the update that is known to
	entry       *Entry           // nil while it is not registered
	pending     string           // the name of an entry that is being created, or may be there
	lastName    string           // the name of the last one that was
	lastSession *backend.Session // the session of that one
	session     *backend.Session
	inDoubt     *backend.Session // a creation under it may land yet
	first       uint64           // when the incarnation first came to the store, 0 if not known
	sent        bool             // an entry may be in the store
	failed      error            // why Leave could not be done
}

// Entry is one entry of a Registration in the store, which goes with one
// session. Package partition builds on it.
type Entry struct {
	// Registration names the entry: Member.Registration of the member.
	Registration string
	// Session owns the entry.
	Session *backend.Session

	owner   *Registration
	key     string
	since   uint64 // the number of the last state from before it
	stood   time.Time
	seen    bool   // in a state of the watch
	checked uint64 // the number of the last state that was held against the store
	update  uint64 // when the entry was to have this one
	// since when another seems to have taken the ID, which may be dead
	disputed time.Time
	ctx      context.Context
	end      context.CancelCauseFunc
}

// Context ends when the entry is gone, or is taken to be: when the session is
// over, the entry was deleted by hand, or the membership has ended.
func (e *Entry) Context() context.Context { return e.ctx }

// Join registers this process under m.ID and returns once that is done. It
// waits through outages of the store until ctx ends; ctx does not bound the
// membership.
//
// If another process is a member under the same ID, this newer one takes the
// ID. The other membership ends with ErrSuperseded as soon as that process is
// notified. If it was cut off, it ends 2.5 TTLs after it came back. The views
// of others show the ID throughout, as restarted.
//
// On an error nothing of this Join is left in the store; a clean-up that takes
// longer than two seconds continues in the background. If ctx ended, the error
// is backend.ErrUnavailable and wraps its cause. Other errors: ErrSuperseded;
// backend.ErrInvalid, ErrTooLarge, ErrDenied, ErrClosed.
func (g *Group) Join(ctx context.Context, m Member) (*Registration, error) {
	r, err := g.newRegistration(m)
	if err != nil {
		return nil, fmt.Errorf("membership %q: %w", g.name, err)
	}
	g.start()
	if err := g.adopt(r); err != nil {
		return nil, fmt.Errorf("membership %q: join: %w", g.name, err)
	}
	if _, err := r.Entry(ctx); err != nil {
		r.finish(err)
		clearing, cancel := context.WithTimeout(context.WithoutCancel(ctx), clearTimeout)
		defer cancel()
		_ = r.wait(clearing)
		return nil, fmt.Errorf("membership %q: join: %w", g.name, err)
	}
	return r, nil
}

func (g *Group) newRegistration(m Member) (*Registration, error) {
	id, err := backend.Escape(m.ID)
	if err != nil {
		return nil, fmt.Errorf("the member's ID: %w", err)
	}
	size := len(m.ID) + len(m.Addr)
	for k, v := range m.Meta {
		size += len(k) + len(v)
	}
	if size > maxMetaBytes {
		return nil, fmt.Errorf("%w: the member's ID, Addr and Meta have %d bytes, at most %d are allowed", backend.ErrTooLarge, size, maxMetaBytes)
	}
	r := &Registration{
		group: g, id: id, incarnation: rand.Text(), done: make(chan struct{}), changed: make(chan struct{}),
	}
	if err := g.store.CheckPath(r.key(r.newName() + leftSuffix)); err != nil {
		return nil, fmt.Errorf("the member's ID with the group's name: %w", err)
	}
	r.doc = entryDocument{ID: m.ID, Addr: m.Addr, Meta: maps.Clone(m.Meta), Incarnation: r.incarnation}
	r.life, r.end = context.WithCancelCause(g.life)
	return r, nil
}

// adopt begins the upkeep of r.
func (g *Group) adopt(r *Registration) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.life.Err() != nil {
		return context.Cause(g.life)
	}
	g.mine[r.incarnation] = r
	g.running.Go(r.run)
	return nil
}

// newName returns a name for an entry that no other ever has.
func (r *Registration) newName() string { return r.id + "~" + rand.Text() }

func (r *Registration) key(name string) string { return r.group.dir + "/" + name }

// Group returns the Group that was joined.
func (r *Registration) Group() *Group { return r.group }

// ID returns the member's ID.
func (r *Registration) ID() string { return r.doc.ID }

// Incarnation returns what Member.Incarnation is of this membership.
func (r *Registration) Incarnation() string { return r.incarnation }

// Context ends when this membership is over for good, with a cause that wraps
// ErrLeft, ErrSuperseded, or backend.ErrClosed or ErrDenied. The loss of a
// session does not end it: the process registers again.
func (r *Registration) Context() context.Context { return r.life }

// Entry waits until the member is registered, which it is except between
// the loss of a session and the return of the store, and returns its entry. It
// ends early with ctx, as backend.ErrUnavailable with its cause, and with the
// cause of Context's end.
func (r *Registration) Entry(ctx context.Context) (*Entry, error) {
	return r.entryOtherThan(ctx, nil)
}

func (r *Registration) entryOtherThan(ctx context.Context, old *Entry) (*Entry, error) {
	for {
		r.mu.Lock()
		s, changed := r.entry, r.changed
		r.mu.Unlock()
		switch {
		case r.life.Err() != nil:
			return nil, context.Cause(r.life)
		case s != nil && s != old && s.ctx.Err() == nil:
			return s, nil
		}
		select {
		case <-changed:
		case <-r.life.Done():
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: not registered: %w", backend.ErrUnavailable, context.Cause(ctx))
		}
	}
}

// errReplaced ends an Entry that is to be replaced.
var errReplaced = errors.New("replaced by another registration")

// Replace replaces the entry by one of another name, for a caller that can no
// longer tell what belongs to this one. It waits for the new entry as
// Registration.Entry does. The views of others continue to show the member.
func (e *Entry) Replace(ctx context.Context) (*Entry, error) {
	e.end(errReplaced)
	return e.owner.entryOtherThan(ctx, e)
}

// Update changes the member's Meta, in the views of others too: they see the
// same incarnation, updated. It returns once the store has it. While the
// member is not registered it waits.
//
// If ctx ends first the error is backend.ErrIndeterminate with its cause: the
// new Meta will be there soon after the store can be written to, unless another
// Update comes first. Other errors: backend.ErrTooLarge, and the causes of
// Context's end.
func (r *Registration) Update(ctx context.Context, meta map[string]string) error {
	r.mu.Lock()
	size := len(r.doc.ID) + len(r.doc.Addr)
	for k, v := range meta {
		size += len(k) + len(v)
	}
	if size > maxMetaBytes {
		r.mu.Unlock()
		return fmt.Errorf("membership %q: update: %w: the member's ID, Addr and Meta have %d bytes, at most %d are allowed", r.group.name, backend.ErrTooLarge, size, maxMetaBytes)
	}
	r.doc.Meta = maps.Clone(meta)
	r.doc.Update++
	update := r.doc.Update
	r.broadcast()
	r.mu.Unlock()
	for {
		r.mu.Lock()
		stored, changed := r.stored, r.changed
		r.mu.Unlock()
		if stored >= update {
			return nil
		}
		select {
		case <-changed:
		case <-r.life.Done():
			return fmt.Errorf("membership %q: update: %w", r.group.name, context.Cause(r.life))
		case <-ctx.Done():
			return fmt.Errorf("membership %q: update: %w: %w", r.group.name, backend.ErrIndeterminate, context.Cause(ctx))
		}
	}
}

// Leave ends the membership: its Context ends, its entry goes, and the others
// see it leave at once, whatever else happens to them. It returns once that is
// in the store.
//
// If ctx ends first the error is backend.ErrIndeterminate with its cause.
// Leaving then continues in the background until the Group or the Store is
// closed; at worst the entry goes with the session. After a membership has
// ended in another way Leave waits until its remains are deleted. A second
// Leave waits for the first.
func (r *Registration) Leave(ctx context.Context) error {
	r.finish(ErrLeft)
	return r.wait(ctx)
}

// finish ends the membership for a reason.
func (r *Registration) finish(cause error) { r.end(cause) }

// wait waits for the upkeep to end.
func (r *Registration) wait(ctx context.Context) error {
	select {
	case <-r.done:
	case <-ctx.Done():
		return fmt.Errorf("membership %q: leave: %w: %w", r.group.name, backend.ErrIndeterminate, context.Cause(ctx))
	}
	if r.failed != nil {
		return fmt.Errorf("membership %q: leave: %w", r.group.name, r.failed)
	}
	return nil
}

// broadcast wakes all who wait for a change; r.mu is held.
func (r *Registration) broadcast() {
	close(r.changed)
	r.changed = make(chan struct{})
}
