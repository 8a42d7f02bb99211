package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/integration/conformance"
)

func pgxPool(ctx context.Context, url string) (*pgxpool.Pool, error) { return pgxpool.New(ctx, url) }

// listeners counts the connections that listen.
func (r *postgresRig) listeners(ctx context.Context) (n int, err error) {
	err = r.leader().Ask(ctx, &n, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND pid <> pg_backend_pid()")
	return n, err
}

// listener is the server's process that serves the only connection that listens.
func (r *postgresRig) listener(t testing.TB) (pid int) {
	t.Helper()
	conformance.Eventually(t, "the connection that listens", func(ctx context.Context) error {
		return r.leader().Ask(ctx, &pid, "SELECT pid FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND pid <> pg_backend_pid()")
	})
	return pid
}

// TestPostgresListening: one connection listens, whatever is watched. Watches
// survive its end, and a notification that never comes, and they are quick
// while it is there.
func TestPostgresListening(t *testing.T) {
	rig := startPostgres(t)
	ctx, cancel := conformance.Bounded(t)
	defer cancel()
	d, other := rig.peer(t).driver, rig.peer(t).driver
	version := conformance.MustApply(t, other, "", driver.Create("quorate/dir/a", []byte("0")))[0]
	seen := make(chan string, 1000)
	for i := range 20 {
		target := driver.Key(fmt.Sprintf("quorate/none/%d", i))
		if i == 0 {
			target = driver.Dir("quorate/dir")
		}
		watching, stop := context.WithCancel(ctx)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for watching.Err() == nil {
				_ = d.Watch(watching, target, func(entries []driver.Entry) {
					for _, e := range entries {
						seen <- string(e.Value)
					}
				})
			}
		}()
		t.Cleanup(func() { stop(); <-ended })
	}
	await := func(value string) {
		t.Helper()
		for {
			select {
			case got := <-seen:
				if got == value {
					return
				}
			case <-ctx.Done():
				t.Fatalf("the watch never showed %q", value)
			}
		}
	}
	await("0")
	one := func() {
		t.Helper()
		conformance.Eventually(t, "one connection that listens", func(ctx context.Context) error {
			n, err := rig.listeners(ctx)
			if err == nil && n != 1 {
				err = fmt.Errorf("%d listen", n)
			}
			return err
		})
	}
	one()

	var took []time.Duration
	for i := range 30 {
		value := fmt.Sprint("quick", i)
		version = conformance.MustApply(t, other, "", driver.Put("quorate/dir/a", []byte(value), version))[0]
		begun := time.Now()
		await(value)
		took = append(took, time.Since(begun))
	}
	slices.Sort(took)
	t.Logf("a change was seen after %v (median), %v at most", took[len(took)/2], took[len(took)-1])
	if took[len(took)/2] > 400*time.Millisecond { // less than any interval: the notification did it
		t.Errorf("a change was seen after %v (median)", took[len(took)/2])
	}

	rig.exec(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND pid <> pg_backend_pid()")
	version = conformance.MustApply(t, other, "", driver.Put("quorate/dir/a", []byte("while nobody listened"), version))[0]
	await("while nobody listened")
	one()
	conformance.MustApply(t, other, "", driver.Put("quorate/dir/a", []byte("listening again"), version))
	await("listening again")

	listener := rig.listener(t)
	// No notification comes of this. The last change comes just after the driver
	// has looked by itself, at the interval that it has while it listens.
	for _, value := range []string{"in silence", "again", "once more"} {
		rig.exec(t, "UPDATE quorate.entry SET value = $1", []byte(value))
		rig.exec(t, "UPDATE quorate.revision SET revision = revision + 1")
		await(value)
	}
	// By now it was silent for so long that it was asked for a sign of life.
	if now := rig.listener(t); now != listener {
		t.Errorf("the connection that listens was given up: backend %d is now %d", listener, now)
	}
	// A row deleted by hand is noticed as any other.
	rig.exec(t, "DELETE FROM quorate.entry")
	conformance.Eventually(t, "the end of the key", func(ctx context.Context) error {
		if entries := conformance.MustRead(t, d, driver.Dir("quorate/dir")); len(entries) > 0 {
			return errors.New("it is there")
		}
		return nil
	})
}
