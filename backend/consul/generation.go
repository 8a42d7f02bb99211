package consul

import (
	"sync"

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
type indexes struct {
	// began is called with each new generation: blocking queries that wait for
	// an index of the one before wait in vain.
	began      func()
	generation driver.Generation
	mu         sync.Mutex // orders generation and highest
	highest    uint64     // of any entry, write or table in this generation
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
