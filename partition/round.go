package partition

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/internal/trust"
)

// round brings the store and the bodies to where they should be, step by step.
// An error may come after any of the commits in it, and leave it in doubt: the
// next round begins with a read, as every step does.
func (m *member) round(ctx context.Context) error {
	for {
		again, err := m.step(ctx)
		if err != nil || !again {
			return err
		}
	}
}

// step reads what concerns the member, and does the first thing that it calls
// for. Whether there is more is for the next step to see.
func (m *member) step(ctx context.Context) (again bool, err error) {
	if err := m.look(ctx); err != nil {
		return false, err
	}
	m.stopOthers()
	m.collect()
	if changed, err := m.update(ctx); changed || err != nil {
		return changed, err
	}
	m.beginOwned()
	wanted := m.wanted()
	now := time.Now()
	due := !m.planAt.IsZero() && !now.Before(m.planAt) || !now.Before(m.checkAt)
	if !m.leaving.IsZero() {
		if due = !m.planned; m.planned {
			return false, m.finishLeaving()
		}
	}
	if len(wanted) == 0 {
		m.waitFor(ctx, nil)
		m.evidence.due = time.Time{}
	}
	if len(wanted) == 0 && !due {
		return false, nil
	}
	others, err := m.list(ctx)
	if err != nil {
		return false, err
	}
	if len(wanted) > 0 {
		if claimed, err := m.claim(ctx, wanted, others); claimed || err != nil {
			return claimed, err
		}
	}
	if due {
		return m.propose(ctx, others)
	}
	return false, nil
}

// look reads the marks, then the plan and the own claims.
func (m *member) look(ctx context.Context) error {
	start, before := trust.Now(), m.highest()
	read, err := m.store.Read(ctx, backend.Dir(m.keys.line), backend.Key(m.keys.plan), backend.Key(m.key))
	if err != nil {
		return err
	}
	if err := m.settle(read[2]); err != nil {
		return err
	}
	if err := m.take(before, read[0], read[1]); err != nil {
		return err
	}
	m.trust(start)
	now := time.Now()
	m.mu.Lock()
	view := m.view
	m.view = false
	m.mu.Unlock()
	if view || !m.read.there || m.read.fork || m.read.mark.IsZero() {
		m.arm(now)
	}
	if why := m.ending(); m.leaving.IsZero() && why != nil {
		m.leaving, m.why = now, why
	}
	if !m.leaving.IsZero() && (m.opts.Grace > 0 || now.Sub(m.leaving) >= leaveTimeout) {
		m.planned = true
	}
	return nil
}

// settle takes over the own claims as they were read: what was known, or what
// was sent on that version. Anything else ends the member.
func (m *member) settle(own []backend.Entry) error {
	if len(own) == 0 {
		return errGone
	}
	entry := own[0]
	now := written{version: entry.Version}
	for _, w := range append([]written{m.own}, m.sent...) {
		if bytes.Equal(w.value, entry.Value) {
			now.value, now.claims = w.value, w.claims
		}
	}
	if now.claims == nil || entry.Lease != m.session.ID() {
		return errForeign
	}
	if now.version != m.own.version || !bytes.Equal(now.value, m.own.value) {
		m.own, m.sent = now, nil // what else was sent can no longer land
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for k := range m.slots {
		if _, ok := m.own.claims.slots[k]; !ok {
			return errForeign
		}
	}
	return nil
}

// take takes over the plan as it was read. What was the highest plan seen
// before the read began decides whether it is of another history.
func (m *member) take(before planID, marks, plans []backend.Entry) error {
	r := &m.read
	r.marks = marks
	for _, mark := range marks {
		if err := decode(mark, new(markDocument)); err != nil {
			return err
		}
	}
	if len(plans) == 0 {
		r.there, r.mark = false, backend.Version{} // what the last one said still goes
		m.evidence.reset()
		return nil
	}
	read, err := m.decodePlan(plans[0])
	if err != nil {
		return err
	}
	if !r.there || r.plan.planID != read.planID || r.version != plans[0].Version {
		m.evidence.reset()
		m.planNews(read)
	}
	r.there, r.plan, r.version, r.mark = true, read, plans[0].Version, backend.Version{}
	r.fork = read.epoch < before.epoch || read.epoch == before.epoch && read.nonce != before.nonce
	if !r.fork {
		m.see(read.planID)
		m.show(read)
	}
	for _, mark := range marks {
		if mark.Key == m.keys.mark(read.line) {
			r.mark = mark.Version
		}
	}
	return nil
}

// planNews arms a look at a new plan that cannot be right.
func (m *member) planNews(read *plan) {
	view := m.group.View()
	present := make(map[string]bool, len(view.Members))
	for i := range view.Members {
		present[view.Members[i].Registration] = true
	}
	for _, registration := range read.Members {
		if !present[registration] {
			m.arm(time.Now())
		}
	}
	if !read.Names(m.registration) {
		m.arm(time.Now())
	}
}

// mine reports whether the plan gives slot k to this member.
func (m *member) mine(k int) bool {
	return m.read.plan != nil && !m.read.fork && m.read.plan.OwnerOf(k) == m.registration
}

// stopOthers ends the bodies of slots that the plan does not give to this
// member. Without a plan they go on.
func (m *member) stopOthers() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.read.plan == nil {
		return
	}
	for k, s := range m.slots {
		if !m.mine(k) {
			s.cancel(ErrMoved)
		}
	}
}

// collect forgets the slots whose bodies have returned for good.
func (m *member) collect() {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	for k, s := range m.slots {
		select {
		case <-s.done:
			delete(m.slots, k)
			if s.gaveUp {
				m.gaveUpAt[k] = now
			}
		default:
		}
	}
	for k, at := range m.gaveUpAt {
		if now.Sub(at) >= gaveUpFor {
			delete(m.gaveUpAt, k)
		}
	}
}

func (m *member) runs(k int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.slots[k] != nil
}

// update releases what is claimed and neither run nor to be run, and says what
// else the others have to know.
func (m *member) update(ctx context.Context) (changed bool, err error) {
	next := m.own.claims.clone()
	for k := range next.slots {
		if _, gaveUp := m.gaveUpAt[k]; !m.runs(k) && (m.read.plan != nil && !m.mine(k) || gaveUp) {
			delete(next.slots, k)
		}
	}
	clear(next.gaveUp)
	for k := range m.gaveUpAt {
		next.gaveUp[k] = true
	}
	next.leaving = !m.leaving.IsZero() && m.opts.Grace == 0
	next.weight = m.weightNow()
	old := m.own.claims
	if next.leaving == old.leaving && next.weight == old.weight && len(next.slots) == len(old.slots) && maps.Equal(next.gaveUp, old.gaveUp) {
		return false, nil
	}
	if !maps.Equal(next.gaveUp, old.gaveUp) || next.leaving != old.leaving || next.weight != old.weight {
		m.arm(time.Now())
	}
	_, err = m.write(ctx, next)
	return true, err
}

// write puts the own claims, on conditions. If that is refused, or in doubt,
// the next step reads what is there.
func (m *member) write(ctx context.Context, next *claims, conditions ...backend.Condition) (applied bool, err error) {
	m.writes++
	next.write, next.epoch = m.writes, max(next.epoch, m.highest().epoch)
	w := written{value: next.encode(), claims: next}
	m.sent = append(m.sent, w)
	result, err := m.store.Commit(ctx, backend.Txn{
		Unchanged: conditions,
		Ops:       []backend.Op{backend.Put(m.key, w.value, m.own.version)},
	})
	switch {
	case err != nil && errors.Is(err, backend.ErrIndeterminate):
		return false, err
	case err != nil || !result.Applied: // surely not applied
		m.sent = m.sent[:len(m.sent)-1]
		return false, err
	}
	w.version = result.Versions[0]
	m.own, m.sent = w, nil
	return true, nil
}

// claimed reports whether the own claims hold slot k with the token that the
// plan has for it now, and no release of it may still land.
func (m *member) claimed(k int) bool {
	token, ok := m.own.claims.slots[k]
	for _, w := range m.sent {
		_, keeps := w.claims.slots[k]
		ok = ok && keeps
	}
	return ok && token == m.read.plan.Slots[k].Token
}

// idle returns the slots that this member is to run and does not.
func (m *member) idle() (slots []int) {
	if m.read.plan == nil || !m.leaving.IsZero() {
		return nil
	}
	me := slices.Index(m.read.plan.Members, m.registration)
	if me < 0 || m.read.fork {
		return nil
	}
	for k, s := range m.read.plan.Slots {
		if _, gaveUp := m.gaveUpAt[k]; s.Owner == me && !gaveUp && !m.runs(k) {
			slots = append(slots, k)
		}
	}
	return slots
}

// beginOwned begins what is claimed.
func (m *member) beginOwned() {
	for _, k := range m.idle() {
		if m.claimed(k) {
			m.begin(k, m.own.claims.slots[k])
		}
	}
}

// wanted returns the slots that are still to be claimed.
func (m *member) wanted() []int {
	if !m.read.there || m.read.mark.IsZero() {
		return nil // no commit can name the plan: a new line comes first
	}
	return slices.DeleteFunc(m.idle(), m.claimed)
}

// claim claims what nobody else may run, as the plan and the claims were read,
// in this order, and begins it.
func (m *member) claim(ctx context.Context, wanted []int, others *others) (claimed bool, err error) {
	free, blocking := m.evidence.free(wanted, others, m.opts.Strict)
	m.waitFor(ctx, blocking)
	if len(free) == 0 {
		return false, nil
	}
	next := m.own.claims.clone()
	for _, k := range free {
		next.slots[k] = m.read.plan.Slots[k].Token
	}
	applied, err := m.write(ctx, next,
		backend.Condition{Key: m.keys.plan, Version: m.read.version},
		backend.Condition{Key: m.keys.mark(m.read.plan.line), Version: m.read.mark})
	if applied {
		m.beginOwned()
	}
	return true, err
}

// finishLeaving ends the bodies, and the member once they have returned, or
// have overrun.
func (m *member) finishLeaving() error {
	m.stopAll(m.why)
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.slots {
		select {
		case <-s.done:
		case <-s.overran:
		default:
			return nil // either wakes
		}
	}
	return errLeft
}

// trust renews the trust of a strict member: its own claims were read.
func (m *member) trust(start trust.Instant) {
	if m.opts.Strict == 0 {
		return
	}
	span := m.session.TTL() - m.session.Margin()
	m.confirmAt = time.Now().Add(span / 3)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.window != nil && m.window.Extend(start, start.Add(span)) {
		return
	}
	if m.window != nil {
		m.window.Close()
	}
	cause := fmt.Errorf("%w: the claims were not seen in the store within the trust window", ErrLost)
	for _, s := range m.slots {
		s.lose(cause)
	}
	m.window = trust.NewWindow(start.Add(span), m.session.Margin(), func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		for _, s := range m.slots {
			s.lose(cause)
		}
	})
}
