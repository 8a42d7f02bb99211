package partition

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/internal/assign"
)

// others are the claims as they were listed, the own among them.
type others struct {
	at      time.Time          // when the list had come
	self    string             // the own registration
	all     map[string]*claims // by registration; nil where they cannot be read
	created map[string]uint64
	control controlDocument
}

// list lists the claims, after what operators ask for.
func (m *member) list(ctx context.Context) (*others, error) {
	read, err := m.store.Read(ctx, backend.Key(m.keys.control), backend.Dir(m.keys.claims))
	if err != nil {
		return nil, err
	}
	o := &others{at: time.Now(), self: m.registration, all: make(map[string]*claims), created: make(map[string]uint64)}
	if o.control, err = decodeControl(read[0]); err != nil {
		m.store.Logger().Error("the control document cannot be read: slots are planned without it", "partition", m.name, "error", err)
	}
	for _, entry := range read[1] {
		registration := strings.TrimPrefix(entry.Key, m.keys.claims+"/")
		c, err := decodeClaims(entry)
		if err != nil {
			m.store.Logger().Error("claims cannot be read: until they are gone nothing is claimed", "partition", m.name, "error", err)
		}
		o.all[registration], o.created[registration] = c, entry.Created
	}
	return o, nil
}

// evidence is what lists have shown of the slots that the member is to claim,
// since it read the present plan.
type evidence struct {
	held     map[int]map[string]uint64 // whose claims, created when, were seen to hold a slot
	released map[int]bool              // such claims were seen without it
	freeAt   map[int]time.Time         // since when nobody was seen to hold it
	due      time.Time                 // when the next of them has waited long enough
}

// reset is called when the plan has changed.
func (e *evidence) reset() { *e = evidence{} }

// free returns which of the wanted slots nobody else may run, and whose claims
// hold others of them. With strict a slot has to be seen released, by a member
// that lives on, or to be free for so long: its holder's claims may have gone
// before their time. Claims that were created again are no release: a create
// that was given up may land after they were deleted by hand.
func (e *evidence) free(wanted []int, o *others, strict time.Duration) (free []int, blocking map[string]bool) {
	if e.held == nil {
		*e = evidence{held: make(map[int]map[string]uint64), released: make(map[int]bool), freeAt: make(map[int]time.Time)}
	}
	blocking = make(map[string]bool)
	e.due = time.Time{}
	for _, k := range wanted {
		holders := 0
		for registration, c := range o.all {
			if registration == o.self {
				continue
			}
			holds := c == nil
			if c != nil {
				_, holds = c.slots[k]
			}
			switch {
			case holds:
				holders++
				blocking[registration] = true
				if e.held[k] == nil {
					e.held[k] = make(map[string]uint64)
				}
				e.held[k][registration] = o.created[registration]
			case e.held[k][registration] == o.created[registration]:
				e.released[k] = true
			}
		}
		if holders > 0 {
			delete(e.released, k)
			delete(e.freeAt, k)
			continue
		}
		if strict == 0 || e.released[k] {
			free = append(free, k)
			continue
		}
		if e.freeAt[k].IsZero() {
			e.freeAt[k] = o.at
		}
		if until := e.freeAt[k].Add(strict); !o.at.Before(until) {
			free = append(free, k)
		} else if e.due.IsZero() || until.Before(e.due) {
			e.due = until
		}
	}
	return free, blocking
}

// waiting is a watch of claims that hold what the member waits for.
type waiting struct {
	keys []string
	end  context.CancelFunc
}

// waitFor makes news of these claims, and of no others, wake the member.
func (m *member) waitFor(ctx context.Context, registrations map[string]bool) {
	var keys []string
	for _, registration := range slices.Sorted(maps.Keys(registrations)) {
		keys = append(keys, m.keys.claimsOf(registration))
	}
	if m.waiting != nil {
		if slices.Equal(m.waiting.keys, keys) {
			return
		}
		m.waiting.end()
		m.waiting = nil
	}
	if len(keys) == 0 {
		return
	}
	ctx, end := context.WithCancel(ctx)
	m.waiting = &waiting{keys, end}
	for _, key := range keys {
		m.watchClaims(ctx, key)
	}
}

func (m *member) watchClaims(ctx context.Context, key string) {
	w, err := m.store.Watch(backend.Key(key))
	if err != nil {
		m.fail(ctx, err)
		return
	}
	m.helpers.Go(func() {
		defer w.Close()
		// Its first news may be what has changed since the list.
		for {
			if err := w.Next(ctx); err != nil {
				m.fail(ctx, err)
				return
			}
			m.wake()
		}
	})
}

// seats returns who is to share the slots, and when that may change though
// nothing happens. With still nothing is to move for the sake of balance.
//
// A seat is who has claims in the store and is a member, in the view of this
// process or by the plan, and is not leaving; of several registrations of one
// member, the newest. Claims alone make no seat: they may have come to
// the store late, after their registration had ended.
//
// Owners that have no claims are away if they are expected back: those that the
// view holds, those that have just registered again, and any until
// Options.Grace has passed since they were first missed.
func (m *member) seats(o *others, base *plan) (seats []assign.Seat, still bool, again time.Time) {
	view := m.group.View()
	current := make(map[string]string) // the registration of an ID
	held := make(map[string]bool)
	for i := range view.Members {
		member := &view.Members[i]
		id := assign.IDOf(member.Registration)
		current[id] = member.Registration
		held[id] = member.Held
	}
	current[assign.IDOf(m.registration)] = m.registration
	chosen := make(map[string]string)
	for registration, c := range o.all {
		id := assign.IDOf(registration)
		known := current[id] == registration || base.Names(registration)
		if !known || c != nil && c.leaving {
			continue
		}
		other, twice := chosen[id]
		if !twice || cmp.Or(cmp.Compare(o.created[registration], o.created[other]), cmp.Compare(registration, other)) > 0 {
			chosen[id] = registration
		}
	}
	for _, registration := range chosen {
		s := assign.Seat{Registration: registration, Weight: 1, Away: true}
		if c := o.all[registration]; c != nil {
			s.Weight, s.GaveUp, s.Zone, s.Away = c.weight, c.gaveUp, c.zone, false
		}
		seats = append(seats, s)
	}
	seats, still, again = m.applyControl(seats, o)
	missing := make(map[string]time.Time)
	for i, registration := range base.Members {
		id := assign.IDOf(registration)
		if _, there := o.all[registration]; there || chosen[id] != "" {
			continue
		}
		since := m.missing[registration]
		if since.IsZero() {
			since = o.at
		}
		missing[registration] = since
		wait := m.opts.Grace
		if now, ok := current[id]; ok && now != registration {
			wait = max(wait, 2*m.opts.Settle) // it has just registered again
		}
		if until := since.Add(wait); o.at.Before(until) {
			if again.IsZero() || until.Before(again) {
				again = until
			}
		} else if !held[id] {
			continue
		}
		seats = append(seats, assign.Seat{Registration: registration, Weight: base.Weights[i], Away: true})
	}
	m.missing = missing
	return seats, still, again
}
