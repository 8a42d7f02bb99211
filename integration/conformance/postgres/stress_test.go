package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/integration/conformance"
)

// TestPostgresLocks lets commits in two namespaces, across both, renewals,
// revocations, reads and the expiry of leases with keys in both contend: no
// call waits for another in a circle, which the server would end with an error.
func TestPostgresLocks(t *testing.T) {
	rig := startPostgres(t)
	ctx, cancel := conformance.Bounded(t)
	defer cancel()
	const rounds = 60
	var drivers []driver.Driver
	for range 4 {
		drivers = append(drivers, rig.peer(t).driver)
	}
	var applied atomic.Int64
	var wg sync.WaitGroup
	for i, d := range drivers {
		for j := range 2 {
			wg.Go(func() {
				for n := range rounds {
					if err := contend(ctx, d, fmt.Sprintf("%d-%d-%d", i, j, n), &applied); err != nil {
						t.Errorf("a call under contention: %v", err)
						return
					}
				}
			})
		}
	}
	wg.Wait()
	if n := applied.Load(); n < rounds {
		t.Errorf("%d commits were applied, want more", n)
	}
}

// contend makes each kind of call once.
func contend(ctx context.Context, d driver.Driver, name string, applied *atomic.Int64) error {
	lease, err := d.Grant(ctx, time.Duration(1+rand.N(100))*time.Millisecond)
	if err != nil {
		return err
	}
	note := func(result driver.Result, err error) error {
		if err == nil && result.Applied {
			applied.Add(1)
		}
		if isLost(err) {
			return nil // its time was short
		}
		return err
	}
	if err := note(d.Commit(ctx, driver.Txn{Lease: lease.ID(), Ops: []driver.Op{
		driver.CreateEphemeral("b/"+name, nil), driver.CreateEphemeral("a/"+name, nil),
	}})); err != nil {
		return err
	}
	for range 2 {
		all, err := d.Read(ctx, driver.Dir("a"), driver.Dir("b"))
		if err != nil {
			return err
		}
		if len(all[0]) != len(all[1]) {
			return fmt.Errorf("%d keys of one namespace and %d of the other: they did not go at one instant", len(all[0]), len(all[1]))
		}
		for i, e := range all[rand.N(2)] {
			if i < 2 {
				if err := note(d.Commit(ctx, driver.Txn{Ops: []driver.Op{driver.Put(e.Key, []byte(name), e.Version)}})); err != nil {
					return err
				}
			}
		}
		if _, err := lease.Renew(ctx); err != nil && !isLost(err) {
			return err
		}
	}
	if rand.N(2) == 0 {
		return lease.Revoke(ctx)
	}
	return nil
}

func isLost(err error) bool { return errors.Is(err, driver.ErrSessionLost) }
