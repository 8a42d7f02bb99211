package partition

import (
	"context"
	"crypto/rand"
	"fmt"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/internal/assign"
)

// PutPlan gives slots to the members with these IDs, as any of them might have
// proposed, and returns the epoch.
func PutPlan(ctx context.Context, store *backend.Store, name string, owners ...string) (uint64, error) {
	k, err := newKeys(name)
	if err != nil {
		return 0, err
	}
	read, err := store.Read(ctx, driver.Key(k.plan), driver.Dir(k.claims))
	if err != nil {
		return 0, err
	}
	old, err := decodePlan(read[0][0])
	if err != nil {
		return 0, err
	}
	next := &plan{planID: planID{old.epoch + 1, rand.Text()}, group: old.group, line: old.line}
	index := make(map[string]int)
	for _, e := range read[1] {
		registration := e.Key[len(k.claims)+1:]
		index[assign.IDOf(registration)] = len(next.Members)
		next.Members = append(next.Members, registration)
		next.Weights = append(next.Weights, 1)
	}
	for i, id := range owners {
		owner, ok := index[id]
		if !ok {
			return 0, fmt.Errorf("%s has no claims", id)
		}
		next.Slots = append(next.Slots, assign.Slot{Owner: owner, Token: next.epoch})
		if old.OwnerOf(i) == next.OwnerOf(i) {
			next.Slots[i].Token = old.Slots[i].Token
		}
	}
	result, err := store.Commit(ctx, driver.Txn{Ops: []driver.Op{driver.Put(k.plan, next.encode("test"), read[0][0].Version)}})
	if err == nil && !result.Applied {
		err = fmt.Errorf("refused")
	}
	return next.epoch, err
}

// ClaimsOf reads what a member's claims in an entry are.
func ClaimsOf(e driver.Entry) (slots map[int]uint64, gaveUp map[int]bool, err error) {
	c, err := decodeClaims(e)
	if err != nil {
		return nil, nil, err
	}
	return c.slots, c.gaveUp, nil
}

// Entered returns how many registrations a Partition remembers, and of how many
// registrations it has claims in use.
func (p *Partition) Entered() (registrations, used int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.entered), len(p.used)
}

// Store returns the Store of a Partition.
func (p *Partition) Store() *backend.Store { return p.store }
