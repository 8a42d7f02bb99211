package zookeeper

import (
	"context"
	"sync"
	"time"

	"github.com/quorate/quorate/backend/driver"
)

// history numbers the generations of a driver (clause C12).
//
// A node's version is a small number that comes again when the store is put
// back to a backup. That takes all servers to be stopped, which ends every
// connection. So as long as one connection after the other was up, with an
// overlap each, nobody put the store back. A link that comes up while another
// one is up, which is proved by a quorum's answer on that one afterwards, goes
// on with the generation; one that comes up alone begins a new one.
//
// A version is of the generation that was the present one when the read that
// showed it began. A commit compares versions of the present generation only,
// over a link that either belongs to it or is dead.
type history struct {
	admission sync.Mutex // held by the link that is being admitted

	generation driver.Generation

	mu    sync.Mutex         // guards the fields below
	links map[*link]struct{} // admitted, and perhaps up
	began bool
}

func (h *history) init() { h.links = make(map[*link]struct{}) }

func (h *history) now() uint64 { return h.generation.Now() }

// witnessPatience bounds the wait for another link's word.
const witnessPatience = time.Second

// admit finds out where a new link belongs.
func (h *history) admit(d *Driver, l *link) {
	h.admission.Lock()
	defer h.admission.Unlock()
	witnessed := h.witnessed(d)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.began && !witnessed {
		h.generation.Next()
	}
	h.began = true
	h.links[l] = struct{}{}
	close(l.admitted)
}

// witnessed reports whether another link is up.
func (h *history) witnessed(d *Driver) bool {
	h.mu.Lock()
	var up []*link
	for l := range h.links {
		if l.socket.alive() {
			up = append(up, l)
		} else {
			delete(h.links, l)
		}
	}
	h.mu.Unlock()
	ctx, cancel := context.WithTimeout(d.life, witnessPatience)
	defer cancel()
	for _, l := range up {
		if l.barrier(ctx) == nil {
			return true
		}
	}
	return false
}

// of waits until a link has been admitted, and returns the generation.
func (h *history) of(ctx context.Context, l *link) (uint64, error) {
	select {
	case <-l.admitted:
		return h.now(), nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}
