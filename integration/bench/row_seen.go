package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/postgres"
	"github.com/quorate/quorate/integration/harness"
)

// polling is the interval of a Store on PostgreSQL that hears no notifications.
const polling = 250 * time.Millisecond

// changesSeen measures from the call that changes a key in one process until a
// watch in another shows it.
func changesSeen(ctx context.Context, l *lab) ([]line, error) {
	seen := line{what: "by a watch in another process", unit: milliseconds, floorIs: "a bare commit, seen by a bare watch"}
	seen.goal(ours, l.Name, perStore{"postgres": 50})
	lines := []line{seen}
	if err := changesSeenBy(ctx, l, l.Store, &lines[0]); err != nil {
		return nil, err
	}
	if l.Name != "postgres" {
		return lines, nil
	}
	polled := line{what: fmt.Sprintf("without notifications, polling each %v", polling), unit: milliseconds, goals: []goal{{of: ours, limit: ms(polling)}}}
	err := changesSeenBy(ctx, l, harness.Postgres(&postgres.Options{Poll: polling}), &polled)
	return append(lines, polled), err
}

func changesSeenBy(ctx context.Context, l *lab, watcher harness.Store, seen *line) error {
	defer l.clear()
	writing, err := l.open(turned(l.cluster.Addrs(), 0), longTTL)
	if err != nil {
		return err
	}
	watching, err := watcher.Open(turned(l.cluster.Addrs(), 1), nil)
	if err != nil {
		return err
	}
	l.atEnd(func() { _ = watching.Close() })
	pair, notified, err := barePair(ctx, l)
	if err != nil {
		return err
	}
	key := l.name() + "/seen"
	watch, err := watching.Watch(driver.Key(key))
	if err != nil {
		return err
	}
	defer watch.Close()
	if err := watch.Next(ctx); err != nil {
		return err
	}
	version := driver.Version{}
	for i := range l.scale.pairs + 1 { // the first connects
		op := driver.Create(key, nil)
		if i > 0 {
			op = driver.Put(key, []byte(small), version)
		}
		took, err := timed(func() error {
			result, err := writing.Commit(ctx, driver.Txn{Ops: []driver.Op{op}})
			if err != nil {
				return err
			}
			version = result.Versions[0]
			for err == nil {
				if now := watch.Entries(0); len(now) == 1 && now[0].Version == version {
					return nil
				}
				err = watch.Next(ctx)
			}
			return err
		})
		if err != nil {
			return err
		}
		drain(notified)
		floor, err := timed(func() error {
			if err := pair[0].put(ctx, "bare/seen"); err != nil {
				return err
			}
			_, err := next(ctx, notified)
			return err
		})
		if err != nil {
			return err
		}
		if i > 0 {
			seen.ours = append(seen.ours, took)
			if seen.floorIs != "" {
				seen.floor = append(seen.floor, floor)
			}
		}
		// Not in step with an interval.
		if err := pause(ctx, time.Duration(i%10)*7*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}
