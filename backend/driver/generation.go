package driver

import "sync"

// Generation counts the generations of a driver (C12), from 1. The zero
// Generation is ready for use.
type Generation struct {
	mu     sync.Mutex // guards the fields below
	passed uint64
	ended  chan struct{} // closed when the present generation ends; made on demand
}

// Now returns the present generation.
func (g *Generation) Now() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.passed + 1
}

// Present returns the present generation, and a channel that is closed when it
// ends.
func (g *Generation) Present() (number uint64, ended <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ended == nil {
		g.ended = make(chan struct{})
	}
	return g.passed + 1, g.ended
}

// Next ends the present generation and begins the next.
func (g *Generation) Next() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.passed++
	if g.ended != nil {
		close(g.ended)
		g.ended = nil
	}
}

// OfGeneration reports whether every version in txn is of this generation. A
// driver refuses a commit that has another one without sending it.
func (txn Txn) OfGeneration(number uint64) bool {
	for _, c := range txn.Unchanged {
		if c.Version.Generation != number {
			return false
		}
	}
	for _, op := range txn.Ops {
		if !op.Version.IsZero() && op.Version.Generation != number {
			return false
		}
	}
	return true
}
