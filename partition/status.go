package partition

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/internal/assign"
)

// Status is the state of a partition as the store shows it, for reports. The
// plan says who should run a slot, the claims who may. They differ while slots
// move, and as long as a body does not return. An action based on it comes too
// late.
type Status struct {
	// Epoch is that of the plan, zero if there is none.
	Epoch uint64
	// FrozenUntil is the time given to Partition.Freeze, zero if none.
	FrozenUntil time.Time
	// Slots are all slots, in order.
	Slots []SlotStatus
	// Claimants are the members that have claims, by registration.
	Claimants []Claimant
}

// SlotStatus says who should run a slot, and who may.
type SlotStatus struct {
	// Owner is the member that the plan gives the slot to; zero if none.
	Owner Holder
	// Claims are the members that claim it, by registration: normally the owner
	// alone, with the same token.
	Claims []Holder
}

// Settled reports whether the plan and the claims say the same.
func (s SlotStatus) Settled() bool {
	if s.Owner.IsZero() {
		return len(s.Claims) == 0
	}
	return len(s.Claims) == 1 && s.Claims[0] == s.Owner
}

// Holder is a member, with the fencing token that it has for a slot.
type Holder struct {
	ID           string
	Registration string // see membership.Member
	Token        uint64
}

// IsZero reports whether it is nobody.
func (h Holder) IsZero() bool { return h.Registration == "" }

// Claimant is a member that has claims, be it of no slot.
type Claimant struct {
	ID           string
	Registration string
	Weight       int
	Epoch        uint64 // of the highest plan that it has seen
	Slots        int    // how many it claims
	GaveUp       int    // how many it will not run, see Options.Restarts
	Leaving      bool
	Zone         string
	Version      string
	Cordoned     bool // see Partition.Cordon
}

// Status reads the plan, and then the claims. Nothing is changed, and no slot
// is run for it. Errors: backend.ErrInvalid if the plan is of another group or
// number of slots; backend.ErrUnavailable, ErrDenied, ErrFormat, ErrClosed.
func (p *Partition) Status(ctx context.Context) (Status, error) {
	status, err := p.status(ctx)
	if err != nil {
		return Status{}, fmt.Errorf("partition %q: %w", p.name, err)
	}
	return status, nil
}

func (p *Partition) status(ctx context.Context) (Status, error) {
	read, err := p.store.Read(ctx, backend.Key(p.keys.plan), backend.Dir(p.keys.claims), backend.Key(p.keys.control))
	if err != nil {
		return Status{}, err
	}
	status := Status{Slots: make([]SlotStatus, p.opts.Slots)}
	if len(read[0]) > 0 {
		plan, err := p.decodePlan(read[0][0])
		if err != nil {
			return Status{}, err
		}
		status.Epoch = plan.epoch
		ids := make([]string, len(plan.Members))
		for i, registration := range plan.Members {
			ids[i] = idOf(registration)
		}
		for k, s := range plan.Slots {
			if s.Owner != assign.Nobody {
				status.Slots[k].Owner = Holder{ID: ids[s.Owner], Registration: plan.Members[s.Owner], Token: s.Token}
			}
		}
	}
	control, err := decodeControl(read[2])
	if err != nil {
		return Status{}, err
	}
	status.FrozenUntil = control.FrozenUntil
	slices.SortFunc(read[1], func(a, b backend.Entry) int { return cmp.Compare(a.Key, b.Key) })
	for _, entry := range read[1] {
		c, err := decodeClaims(entry)
		if err != nil {
			return Status{}, err
		}
		registration := strings.TrimPrefix(entry.Key, p.keys.claims+"/")
		who := Claimant{
			ID: idOf(registration), Registration: registration, Weight: c.weight, Epoch: c.epoch,
			Slots: len(c.slots), GaveUp: len(c.gaveUp), Leaving: c.leaving,
			Zone: c.zone, Version: c.version, Cordoned: slices.Contains(control.Cordoned, idOf(registration)),
		}
		status.Claimants = append(status.Claimants, who)
		for _, k := range slices.Sorted(maps.Keys(c.slots)) {
			if k < len(status.Slots) {
				status.Slots[k].Claims = append(status.Slots[k].Claims, Holder{ID: who.ID, Registration: registration, Token: c.slots[k]})
			}
		}
	}
	return status, nil
}

// idOf returns the ID of the member that a registration is of, as the user
// wrote it.
func idOf(registration string) string {
	escaped := assign.IDOf(registration)
	if id, err := url.PathUnescape(escaped); err == nil {
		return id
	}
	return escaped
}
