package postgres_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/postgres"
	"github.com/quorate/quorate/integration/conformance"
)

// TestPostgresRoles: what the documentation says suffices does, and what is
// refused is ErrDenied, each time.
func TestPostgresRoles(t *testing.T) {
	rig := startPostgres(t)
	ctx, cancel := conformance.Bounded(t)
	defer cancel()
	app := rig.peer(t)
	conformance.Everything(ctx, t, app.driver, "quorate", postgresTTL)
	for _, table := range []string{"entry", "lease", "revision", "server"} {
		if _, err := app.pool.Exec(ctx, "SELECT * FROM quorate."+table); err == nil {
			t.Errorf("the role app reads the table %s", table)
		}
	}

	t.Run("observer", func(t *testing.T) {
		observer := rig.peerAs(t, "observer").driver
		lease := conformance.MustGrant(t, app.driver, postgresTTL)
		conformance.MustApply(t, app.driver, lease.ID(), driver.CreateEphemeral("quorate/seen", []byte("1")))
		if got := conformance.MustRead(t, observer, driver.Key("quorate/seen")); len(got) != 1 || got[0].Lease != lease.ID() {
			t.Errorf("the observer reads %v", got)
		}
		// It sees a lease expire, though nobody else calls.
		states := make(chan int, 100)
		watching, stop := context.WithCancel(ctx)
		defer stop()
		go func() {
			_ = observer.Watch(watching, driver.Dir("quorate"), func(entries []driver.Entry) { states <- len(entries) })
		}()
		begun := time.Now()
		for n := -1; n != 0; {
			select {
			case n = <-states:
			case <-ctx.Done():
				t.Fatal("the observer's watch never showed that the lease expired")
			}
		}
		if took := time.Since(begun); took > postgresExpiry+5*time.Second {
			t.Errorf("the observer saw it after %v", took)
		}
		_, err := observer.Commit(ctx, driver.Txn{Ops: []driver.Op{driver.Create("quorate/a", nil)}})
		conformance.Denied(t, "Commit by the observer", err)
		_, err = observer.Grant(ctx, postgresTTL)
		conformance.Denied(t, "Grant by the observer", err)
	})

	t.Run("stranger", func(t *testing.T) {
		rig.exec(t, "CREATE ROLE stranger LOGIN")
		stranger := rig.peerAs(t, "stranger").driver
		_, err := stranger.Read(ctx, driver.Key("quorate/seen"))
		conformance.Denied(t, "Read by a stranger", err)
		_, err = stranger.Commit(ctx, driver.Txn{Ops: []driver.Op{driver.Create("quorate/a", nil)}})
		conformance.Denied(t, "Commit by a stranger", err)
		conformance.Denied(t, "Watch by a stranger", stranger.Watch(ctx, driver.Key("quorate/a"), func([]driver.Entry) {}))
	})

	t.Run("nobody", func(t *testing.T) {
		_, err := rig.peerAs(t, "unknown").driver.Read(ctx, driver.Key("quorate/seen"))
		conformance.Denied(t, "Read by a role that is not there", err)
	})

	t.Run("settings-of-the-role", func(t *testing.T) {
		rig.exec(t, "CREATE ROLE strict LOGIN IN ROLE app; ALTER ROLE strict SET default_transaction_isolation = 'serializable'")
		_, err := rig.peerAs(t, "strict").driver.Read(ctx, driver.Key("quorate/seen"))
		if !errors.Is(err, driver.ErrInvalid) {
			t.Errorf("Read at another isolation level = %v, want ErrInvalid", err)
		}
		rig.exec(t, "CREATE ROLE reader LOGIN IN ROLE app; ALTER ROLE reader SET default_transaction_read_only = on")
		_, err = rig.peerAs(t, "reader").driver.Read(ctx, driver.Key("quorate/seen"))
		if !errors.Is(err, driver.ErrUnavailable) {
			t.Errorf("Read in a read-only session = %v, want ErrUnavailable", err)
		}
	})
}

// TestPostgresMigrate: many processes may make the schema at once, and one of a
// version that is not known stays as it is.
func TestPostgresMigrate(t *testing.T) {
	rig := startPostgres(t)
	ctx, cancel := conformance.Bounded(t)
	defer cancel()
	pool := rig.pool(t, "owner", rig.leader().Addr())
	other := &postgres.Options{Schema: "another"}
	d, err := postgres.NewDriver(pool, other)
	conformance.Must(t, err)
	defer d.Close(ctx)
	if _, err := d.Read(ctx, driver.Key("a")); !errors.Is(err, driver.ErrUnavailable) {
		t.Errorf("Read without the schema = %v, want ErrUnavailable", err)
	}
	ended := make(chan error)
	for range 4 {
		go func() { ended <- postgres.Migrate(ctx, pool, other) }()
	}
	for range 4 {
		if err := <-ended; err != nil {
			t.Errorf("Migrate beside others: %v", err)
		}
	}
	conformance.Everything(ctx, t, d, "quorate", postgresTTL)
	if got := conformance.MustRead(t, rig.peer(t).driver, driver.Dir("quorate")); len(got) != 0 {
		t.Errorf("the first schema has %v", got)
	}
	rig.exec(t, "UPDATE another.server SET version = 99")
	if err := postgres.Migrate(ctx, pool, other); !errors.Is(err, driver.ErrInvalid) {
		t.Errorf("Migrate of an unknown version = %v, want ErrInvalid", err)
	}
	if err := postgres.Check(ctx, pool, other); !errors.Is(err, driver.ErrInvalid) {
		t.Errorf("Check of an unknown version = %v, want ErrInvalid", err)
	}
}
