package counter

import (
	"context"
	"fmt"
	"math/big"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/internal/removable"
)

// maxTotalReads bounds how often Total reads shards that do not stand still.
const maxTotalReads = 100

// Total returns the sum of all that the Tallies of this name have flushed, in
// all processes: exactly what it was at one instant between call and return.
// The sums that this Tally has not flushed yet are not in it. Call Flush first.
//
// A store need not give the values of several keys of one instant, so the
// shards are read until they have not moved between two reads. Where they move
// too fast for that, a hundred reads long, or the store does not answer, the
// error is backend.ErrUnavailable. Other errors: ErrOutOfRange if the sum is
// no int64; backend.ErrDenied, ErrFormat, ErrClosed.
func (t *Tally) Total(ctx context.Context) (int64, error) {
	var last []backend.Entry
	for reads := range maxTotalReads {
		read, err := t.store.Read(ctx, driver.Dir(t.dir))
		if err != nil {
			return 0, fmt.Errorf("%s: %w", t.label, err)
		}
		// The key set is of one instant, and so is a set of no keys.
		if len(read[0]) == 0 || reads > 0 && same(last, read[0]) {
			return t.add(read[0])
		}
		last = read[0]
	}
	return 0, fmt.Errorf("%s: %w: the shards moved between any two of %d reads", t.label, backend.ErrUnavailable, maxTotalReads)
}

// Estimate is Total by one read, for those who only look. While shards move it
// may be of no one instant: each of them counts as it was at some instant
// between call and return. Where nobody adds negative numbers, that is no less
// than the total at the call, and no more than that at the return. The errors
// are those of Total.
func (t *Tally) Estimate(ctx context.Context) (int64, error) {
	read, err := t.store.Read(ctx, driver.Dir(t.dir))
	if err != nil {
		return 0, fmt.Errorf("%s: %w", t.label, err)
	}
	return t.add(read[0])
}

// same reports whether two reads show the same state of the same keys.
func same(a, b []backend.Entry) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Key != b[i].Key || a[i].Version != b[i].Version || a[i].Modified != b[i].Modified {
			return false
		}
	}
	return true
}

// add sums the shards. On the way the sum may leave the range of int64.
func (t *Tally) add(shards []backend.Entry) (int64, error) {
	sum := new(big.Int)
	for _, e := range shards {
		b, err := baseOf(removable.Look{Key: e.Key, Entry: e, Found: true})
		if err != nil {
			return 0, fmt.Errorf("%s: %w", t.label, err)
		}
		sum.Add(sum, big.NewInt(b.Value))
	}
	if !sum.IsInt64() {
		return 0, fmt.Errorf("%s: %w: the total is %v", t.label, ErrOutOfRange, sum)
	}
	return sum.Int64(), nil
}
