package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/integration/conformance"
)

// step sets the clock by which the server judges leases.
func (r *postgresRig) step(t testing.TB, by time.Duration) {
	t.Helper()
	r.exec(t, fmt.Sprintf("CREATE OR REPLACE FUNCTION quorate.clock() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$ SELECT clock_timestamp() + interval '%d milliseconds' $$", by.Milliseconds()))
}

// TestPostgresClockSteps: a step forward ends a lease early, all its keys at
// one instant, and the process learns of it. A step back only lets the keys of
// a lease stay longer.
func TestPostgresClockSteps(t *testing.T) {
	rig := startPostgres(t)
	ctx, cancel := conformance.Bounded(t)
	defer cancel()
	d := rig.peer(t).driver
	lease := conformance.MustGrant(t, d, time.Minute)
	conformance.MustApply(t, d, lease.ID(), driver.CreateEphemeral("quorate/a", nil), driver.CreateEphemeral("other/b", nil))
	rig.step(t, -time.Hour)
	if validFor, err := lease.Renew(ctx); err != nil || validFor != time.Minute {
		t.Errorf("Renew after a step back = %v, %v", validFor, err)
	}
	rig.step(t, 0)
	if _, err := lease.Renew(ctx); !errors.Is(err, driver.ErrSessionLost) {
		t.Errorf("Renew after a step forward = %v, want ErrSessionLost", err)
	}
	all, err := d.Read(ctx, driver.Key("quorate/a"), driver.Key("other/b"))
	conformance.Must(t, err)
	if len(all[0])+len(all[1]) != 0 {
		t.Errorf("keys are left: %v", all)
	}
	select {
	case <-lease.Lost():
	default:
		t.Error("Lost is open after ErrSessionLost")
	}
}

// TestPostgresExpiryWaitsForRenewal: a lease whose renewal is under way is not
// judged before that is known, though its time is over.
func TestPostgresExpiryWaitsForRenewal(t *testing.T) {
	rig := startPostgres(t)
	ctx, cancel := conformance.Bounded(t)
	defer cancel()
	d := rig.peer(t).driver
	lease := conformance.MustGrant(t, d, time.Minute)
	conformance.MustApply(t, d, lease.ID(), driver.CreateEphemeral("quorate/a", nil))
	conn, err := pgx.Connect(ctx, rig.leader().URL())
	conformance.Must(t, err)
	defer conn.Close(ctx)
	renewal, err := conn.Begin(ctx)
	conformance.Must(t, err)
	_, err = renewal.Exec(ctx, "UPDATE quorate.lease SET expires = expires + interval '1 day' WHERE id = $1", lease.ID())
	conformance.Must(t, err)
	rig.step(t, time.Hour)
	type answer struct {
		entries [][]driver.Entry
		err     error
	}
	read := make(chan answer, 1)
	go func() {
		entries, err := d.Read(ctx, driver.Key("quorate/a"))
		read <- answer{entries, err}
	}()
	conformance.Eventually(t, "a call that waits for the renewal", func(ctx context.Context) error {
		var waiting bool
		err := rig.leader().Ask(ctx, &waiting, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE usename = 'app' AND wait_event_type = 'Lock')")
		select {
		case a := <-read:
			t.Fatalf("a call judged the lease while its renewal was under way: %v, %v", a.entries, a.err)
		default:
		}
		if err == nil && !waiting {
			err = errors.New("nobody waits")
		}
		return err
	})
	conformance.Must(t, renewal.Commit(ctx))
	if a := <-read; a.err != nil || len(a.entries[0]) != 1 {
		t.Errorf("Read after the renewal: %v, %v, want the key", a.entries, a.err)
	}
}
