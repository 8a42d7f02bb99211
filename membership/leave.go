package membership

import (
	"context"
	"errors"

	"github.com/quorate/quorate/backend"
)

// clearUp takes out of the store what a membership that has ended left there.
func (r *Registration) clearUp() {
	r.mu.Lock()
	sent, session, inDoubt := r.sent, r.session, r.inDoubt
	r.mu.Unlock()
	g := r.group
	if !sent || g.life.Err() != nil {
		r.failed = context.Cause(g.life)
		return
	}
	const leave backend.Operation = "leave"
	if errors.Is(context.Cause(r.life), ErrSuperseded) {
		// The ID goes on, so there is a mark only if another entry of this
		// incarnation may land. What is not deleted goes with the session.
		ctx, cancel := backend.JoinContexts(g.life, session.Context())
		defer cancel(nil)
		if inDoubt != session {
			_ = g.store.CleanUp(ctx, session, g.subject(), leave, r.withdraw)
			return
		}
		_ = g.store.CleanUp(ctx, session, g.subject(), leave, func(ctx context.Context) error { return r.depart(ctx, 0) })
		return
	}
	r.mu.Lock()
	first := r.first
	r.mu.Unlock()
	r.failed = g.store.CleanUp(g.life, session, g.subject(), leave, func(ctx context.Context) error { return r.depart(ctx, first) })
}

// last returns the name of the entry that may be in the store. If there is
// another it is swept.
func (r *Registration) last() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pending != "" {
		return r.pending
	}
	return r.lastName
}

func (r *Registration) withdraw(ctx context.Context) error {
	_, err := r.group.store.Commit(ctx, backend.Txn{Ops: []backend.Op{backend.Delete(r.key(r.last()), backend.Version{})}})
	return err
}

// depart puts the mark in place of the entry, in one commit: whoever sees the
// entry gone sees why. An entry that is gone already gets its mark too, since
// others may hold the member in their views. The mark hides this incarnation,
// and those that came to the ID before since.
func (r *Registration) depart(ctx context.Context, since uint64) error {
	key := r.key(r.last())
	for {
		read, err := r.group.store.Read(ctx, backend.Key(key), backend.Key(key+leftSuffix))
		if err != nil {
			return err
		}
		if len(read[1]) > 0 {
			return nil
		}
		doc := leftDocument{ID: r.doc.ID, Incarnation: r.incarnation, Since: since}
		ops := []backend.Op{backend.Create(key+leftSuffix, encode(doc))}
		if len(read[0]) > 0 {
			ops = append(ops, backend.Delete(key, read[0][0].Version))
		}
		result, err := r.group.store.Commit(ctx, backend.Txn{Ops: ops})
		if err != nil || result.Applied {
			return err // in doubt: the Retry reads first
		}
	}
}
