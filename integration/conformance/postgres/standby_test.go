package postgres_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/postgres"
	"github.com/quorate/quorate/integration/conformance"
)

// TestPostgresStandbyWaits: no call is answered that the standby does not have,
// whatever the role's settings, and one whose wait is cancelled does not claim
// that it has.
func TestPostgresStandbyWaits(t *testing.T) {
	rig := startPostgresPair(t)
	ctx, cancel := conformance.Bounded(t)
	defer cancel()
	rig.exec(t, "ALTER ROLE app SET synchronous_commit = off; ALTER ROLE app SET client_min_messages = error")
	d := rig.peer(t).driver
	lease := conformance.MustGrant(t, d, time.Hour)
	standby := rig.servers[1-rig.primary]
	for name, c := range map[string]struct {
		call func() error
		want error
	}{
		"commit": {func() error {
			_, err := d.Commit(ctx, driver.Txn{Ops: []driver.Op{driver.Create("quorate/a", nil)}})
			return err
		}, driver.ErrIndeterminate},
		"read": {func() error {
			_, err := d.Read(ctx, driver.Key("quorate/a"))
			return err
		}, driver.ErrUnavailable},
		"renewal": {func() error {
			_, err := lease.Renew(ctx)
			return err
		}, driver.ErrUnavailable},
		"grant": {func() error {
			_, err := d.Grant(ctx, time.Hour)
			return err
		}, driver.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			conformance.Must(t, standby.Pause())
			defer func() { conformance.Must(t, standby.Resume()) }()
			ended := make(chan error, 1)
			go func() { ended <- c.call() }()
			conn, err := pgx.Connect(ctx, rig.leader().URL())
			conformance.Must(t, err)
			defer conn.Close(ctx)
			conformance.Eventually(t, "a wait for the standby, to be cancelled", func(ctx context.Context) error {
				var pid int
				if err := conn.QueryRow(ctx, "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND usename = 'app'").Scan(&pid); err != nil {
					return err // nobody waits yet
				}
				_, err := conn.Exec(ctx, "SELECT pg_cancel_backend($1)", pid)
				return err
			})
			if err := <-ended; !errors.Is(err, c.want) {
				t.Errorf("a %s whose wait was cancelled = %v, want %v", name, err, c.want)
			}
		})
	}
	// With the standby back all is well.
	conformance.MustApply(t, d, lease.ID(), driver.CreateEphemeral("quorate/b", nil))
}

// TestPostgresPromotion: the server that takes over gives every lease its TTL
// once more before it judges any, and no version from before is good there.
func TestPostgresPromotion(t *testing.T) {
	rig := startPostgresPair(t)
	ctx, cancel := conformance.Bounded(t)
	defer cancel()
	d, other := rig.peer(t).driver, rig.peer(t).driver
	lease := conformance.MustGrant(t, d, postgresTTL)
	old := conformance.MustApply(t, d, lease.ID(), driver.CreateEphemeral("quorate/held", nil), driver.Create("quorate/kept", nil))
	conformance.Must(t, rig.leader().Crash())
	standby := rig.servers[1-rig.primary]
	conn, err := pgx.Connect(ctx, standby.URL())
	conformance.Must(t, err)
	defer conn.Close(ctx)
	conformance.Eventually(t, "the end of the lease by the standby's clock", func(ctx context.Context) error {
		var over bool
		err := conn.QueryRow(ctx, "SELECT expires < clock_timestamp() FROM quorate.lease WHERE id = $1", lease.ID()).Scan(&over)
		if err == nil && !over {
			err = errors.New("not yet")
		}
		return err
	})
	conformance.Must(t, standby.Promote(ctx))
	rig.primary = 1 - rig.primary
	var entries [][]driver.Entry
	conformance.Eventually(t, "an answer of the new primary", func(ctx context.Context) (err error) {
		entries, err = other.Read(ctx, driver.Key("quorate/held"))
		return err
	})
	if len(entries[0]) != 1 {
		t.Fatal("the lease was judged by the new primary before it was prolonged")
	}
	if _, err := lease.Renew(ctx); err != nil {
		t.Errorf("Renew after the failover: %v", err)
	}
	result := conformance.MustCommit(t, d, driver.Txn{Ops: []driver.Op{driver.Put("quorate/kept", []byte("late"), old[1])}})
	if result.Applied {
		t.Error("a version from before the failover was accepted")
	}
	conformance.MustApply(t, d, "", driver.Put("quorate/kept", []byte("1"), result.Current["quorate/kept"].Version))

	// Once: then the lease ends as any does.
	renewed := time.Now()
	conformance.Eventually(t, "the end of the lease", func(ctx context.Context) error {
		entries, err := other.Read(ctx, driver.Key("quorate/held"))
		if err == nil && len(entries[0]) > 0 {
			err = errors.New("it is there")
		}
		return err
	})
	if took := time.Since(renewed); took > postgresExpiry+5*time.Second {
		t.Errorf("the keys of the lease went after %v", took)
	}
}

// TestPostgresCheck: an asynchronous standby is reported, and a pool that leads
// to a standby.
func TestPostgresCheck(t *testing.T) {
	rig := startPostgresPair(t)
	ctx, cancel := conformance.Bounded(t)
	defer cancel()
	pool := rig.pool(t, "observer", rig.leader().Addr())
	conformance.Must(t, postgres.Check(ctx, pool, nil))
	conformance.Must(t, rig.leader().RequireStandby(ctx, ""))
	if err := postgres.Check(ctx, pool, nil); !errors.Is(err, postgres.ErrAsynchronous) {
		t.Errorf("Check with an asynchronous standby = %v, want ErrAsynchronous", err)
	}
	standby, err := pgxPool(ctx, rig.servers[1-rig.primary].URL())
	conformance.Must(t, err)
	defer standby.Close()
	if err := postgres.Check(ctx, standby, nil); !errors.Is(err, postgres.ErrStandby) {
		t.Errorf("Check of a standby = %v, want ErrStandby", err)
	}
	d, err := postgres.NewDriver(standby, nil)
	conformance.Must(t, err)
	defer d.Close(ctx)
	if _, err := d.Read(ctx, driver.Key("a")); !errors.Is(err, driver.ErrUnavailable) {
		t.Errorf("Read from a standby = %v, want ErrUnavailable", err)
	}
}
