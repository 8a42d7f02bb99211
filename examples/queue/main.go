// Command queue works through a queue whose parts are shared out among its
// processes: each part is worked on by one of them, in order, and goes on
// elsewhere, where it was, when that one ends or is killed.
//
//	go run -C examples ./queue -items 40
//	go run -C examples ./queue -id b -store etcd://127.0.0.1:2379   # in several terminals, each with its -id; kill one
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/open"
	"github.com/quorate/quorate/partition"
	"github.com/quorate/quorate/restart"
)

func main() {
	openStore := open.Flags(flag.CommandLine, &backend.Options{Namespace: "example-queue"})
	id := flag.String("id", "a", "this process among those that share the queue")
	slots := flag.Int("slots", 8, "into how many parts the queue is cut; all processes need the same")
	items := flag.Int64("items", 1000, "how many items there are")
	pace := flag.Duration("pace", 50*time.Millisecond, "how long an item takes")
	flag.Parse()
	store, err := openStore()
	if err == nil && (*items < 0 || *slots < 1 || *pace < 0) {
		err = errors.New("-items and -pace must not be negative, -slots must be positive")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "queue:", err)
		os.Exit(restart.ExitFailed)
	}
	q := &queue{store: store, id: *id, slots: *slots, items: *items, pace: *pace}
	restart.Main(q.run, &restart.Options{Close: []io.Closer{store}})
}

// queue stands for a queue that keeps its items: a topic, a table, a bucket.
// Here they are numbers, and those of a slot are slot, slot+slots, ...
type queue struct {
	store *backend.Store
	id    string
	slots int
	items int64
	pace  time.Duration
}

// run works on this process's share of the slots, until ctx ends.
func (q *queue) run(ctx context.Context) error {
	group, err := membership.New(q.store, "queue", nil)
	if err != nil {
		return err
	}
	defer group.Close() // leaves
	parts, err := partition.New(group, "queue", &partition.Options{Slots: q.slots})
	if err != nil {
		return err
	}
	self, err := group.Join(ctx, membership.Member{ID: q.id})
	if err != nil {
		return err
	}
	return parts.Run(ctx, self, q.work)
}

// work works through the part of one slot, from where whoever had it before
// was acknowledged.
//
// The item is done first and saved then, so a crash right between the two has
// it done again, by whoever gets the slot: of each slot one item at most. The
// effect of an item has to be such that this does no harm, or has to be refused
// a second time, by its number; and slot.Token() fences off who had the slot
// before. For items that must not be repeated, and may be left out, save first.
func (q *queue) work(ctx context.Context, slot *partition.Slot) error {
	done, err := restart.NewCheckpoint[int64](q.store, fmt.Sprintf("queue/%d", slot.Number()), nil)
	if err != nil {
		return err
	}
	// The guard makes each save a write of the slot's owner, or none.
	next, _, err := done.Claim(ctx, slot.Guard())
	if err != nil {
		return err
	}
	fmt.Printf("slot %d, token %d: %d items are done\n", slot.Number(), slot.Token(), next)
	for item := q.item(slot, next); item < q.items; item = q.item(slot, next) {
		if err := pause(ctx, q.pace); err != nil {
			return err // nothing was begun
		}
		// The work goes here.
		fmt.Printf("slot %d, token %d: item %d\n", slot.Number(), slot.Token(), item)
		next++
		// What is done is saved, also if the slot is to move meanwhile: under
		// Drain the next owner waits for it, so that nothing is repeated then.
		if err := done.Save(slot.Drain(), next); err != nil {
			return err
		}
	}
	fmt.Printf("slot %d, token %d: through\n", slot.Number(), slot.Token())
	<-ctx.Done() // who returns earlier is called again
	return context.Cause(ctx)
}

// item returns the nth item of a slot.
func (q *queue) item(slot *partition.Slot, n int64) int64 {
	return n*int64(q.slots) + int64(slot.Number())
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
