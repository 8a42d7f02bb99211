package postgres

import (
	"sync"

	"github.com/quorate/quorate/backend/driver"
)

// history notices that the store went back: that it was restored, or that
// another server answers. Each reply names the server (the schema's instance,
// the system identifier, the timeline and the start time) and the sum of all
// revisions, which only a restore lowers.
type history struct {
	generation driver.Generation
	mu         sync.Mutex // orders generation and mark
	mark       mark
}

// mark is what is known of the store at one instant. The identity is empty
// until the first reply.
type mark struct {
	generation uint64
	identity   string
	revision   int64
}

// now returns the mark for a call that is about to begin.
func (h *history) now() mark {
	h.mu.Lock()
	defer h.mu.Unlock()
	m := h.mark
	m.generation = h.generation.Now()
	return m
}

// note takes a reply to a call that began at start, and returns the generation
// that its versions belong to. In doubt it returns the older one: a commit with
// such a version is refused, and its caller reads again.
func (h *history) note(start mark, identity string, revision int64) uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.generation.Now() != start.generation:
	case h.mark.identity != "" && (identity != h.mark.identity || revision < start.revision):
		h.generation.Next()
		h.mark = mark{identity: identity, revision: revision}
		return h.generation.Now()
	default:
		h.mark.identity = identity
		h.mark.revision = max(h.mark.revision, revision)
	}
	return start.generation
}
