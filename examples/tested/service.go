// Package tested is a small service and its tests: what it does when its
// session is lost, its network fails, or a reply does not come back. They run
// over backend/memory and backend/faults in a bubble of testing/synctest, in
// virtual time; copy them.
package tested

import (
	"context"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/election"
	"github.com/quorate/quorate/restart"
)

// Ledger is where the service has its effects. It refuses a term that is lower
// than one that it has seen.
type Ledger interface {
	Enter(ctx context.Context, term uint64, invoice int) error
}

// Biller enters invoices into a ledger, one a second, in one process at a time.
type Biller struct {
	Store  *backend.Store
	Ledger Ledger
	Policy *restart.Policy // for what fails, the ledger say
}

// Run bills until ctx ends.
func (b *Biller) Run(ctx context.Context) error {
	e, err := election.New(b.Store, "billing", nil)
	if err != nil {
		return err
	}
	progress, err := restart.NewCheckpoint[int](b.Store, "billing", nil)
	if err != nil {
		return err
	}
	return restart.Supervise(ctx, func(ctx context.Context) error {
		return e.Run(ctx, func(ctx context.Context, lead *election.Leadership) error {
			return b.bill(ctx, lead, progress)
		})
	}, b.Policy)
}

func (b *Biller) bill(ctx context.Context, lead *election.Leadership, progress *restart.Checkpoint[int]) error {
	invoice, _, err := progress.Claim(ctx, lead.Guard())
	if err != nil {
		return err
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done(): // before anybody else can lead
			return context.Cause(ctx)
		case <-tick.C:
		}
		if err := b.Ledger.Enter(ctx, lead.Term(), invoice); err != nil {
			return err
		}
		invoice++
		if err := progress.Save(ctx, invoice); err != nil {
			return err
		}
	}
}
