package consul

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/quorate/quorate/backend/driver"
)

// indexes notices that the store went back in time: restored from a snapshot,
// or wiped.
//
// Consul's X-Consul-Index does not tell that by itself. It is the index of
// what was asked for: of a key the ModifyIndex, of a prefix the highest below
// it, and the latter goes back in ordinary life, when the tombstones of
// deleted keys are collected. Only the reply for a key that is absent carries
// the index of the whole KV table, which every write raises and nothing lowers
// but a restore. So a Read also looks for a key that cannot exist, unless it
// found one absent anyway.
//
// A restore is an entry of the servers' log like any other, and the next write
// raises the index of the table beyond all before it. Watches notice a restore
// then: by an entry that comes back with an index from before (reappeared), or by
// a blocking query that a server ends early though nothing is new (endedEarly).
type indexes struct {
	// began is called with each new generation: blocking queries that wait for
	// an index of the one before wait in vain.
	began      func()
	generation driver.Generation
	mu         sync.Mutex    // orders generation and highest
	highest    uint64        // of any entry, write or table in this generation
	cut        time.Duration // after which a server last ended a query early
}

// mark is what was known when a call began.
type mark struct{ highest, generation uint64 }

func (x *indexes) mark() mark {
	x.mu.Lock()
	defer x.mu.Unlock()
	return mark{x.highest, x.generation.Now()}
}

// saw notes an index that the store has reached.
func (x *indexes) saw(m mark, index uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if m.generation == x.generation.Now() {
		x.highest = max(x.highest, index)
	}
}

// table notes the index of the whole table, read linearizably after m, and
// reports whether m's generation still stands.
func (x *indexes) table(m mark, index uint64) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case m.generation != x.generation.Now():
		return false
	case index < m.highest:
		x.generation.Next()
		x.highest = index
		x.began()
		return false
	}
	x.highest = max(x.highest, index)
	return true
}

// back begins another generation: the store surely went back after m.
func (x *indexes) back(m mark) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if m.generation == x.generation.Now() {
		x.generation.Next()
		x.highest = 0
		x.began()
	}
}

// endedEarly reports whether a blocking query without news, which was to last for
// wait, was ended by a restore: that is the only reason of a server's own to end
// one before its time. A server whose max_query_time is shorter than wait ends
// each query after that time, so the second in a row that lasts as long as the one
// before tells nothing.
func (x *indexes) endedEarly(lasted, wait time.Duration) bool {
	if lasted >= wait {
		return false
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	before := x.cut
	x.cut = lasted
	// A server adds up to a sixteenth to each.
	return lasted < before-before/8 || lasted > before+before/8
}

// reappeared reports whether an entry of after is missing in before, though it is
// no newer than the index that before was read at: only a restore brings it back.
func reappeared(before []driver.Entry, index uint64, after []driver.Entry) bool {
	for _, e := range after {
		if e.Modified > index {
			continue
		}
		i, found := slices.BinarySearchFunc(before, e.Key, func(b driver.Entry, key string) int { return strings.Compare(b.Key, key) })
		if !found || before[i].Modified != e.Modified {
			return true
		}
	}
	return false
}
