package zookeeper

import (
	"context"
	"sync"
	"time"

	"github.com/quorate/quorate/backend/driver"
)

// generations numbers the generations of a driver (clause C12).
//
// A node's version is a small number that comes again when the store is put
// back to a backup. That takes all servers to be stopped, which ends every
// connection. So as long as one connection after the other was up, with an
// overlap each, nobody put the store back. A connection that comes up while another
// one is up, which is proved by a quorum's answer on that one afterwards, goes
// on with the generation; one that comes up alone begins a new one.
//
// A version is of the generation that was the present one when the read that
// showed it began. A commit compares versions of the present generation only,
// over a connection that either belongs to it or is dead.
type generations struct {
	admission sync.Mutex // held by the connection that is being admitted

	generation driver.Generation

	mu    sync.Mutex         // guards the fields below
	conns map[*conn]struct{} // admitted, and perhaps up
	began bool
}

func (h *generations) init() { h.conns = make(map[*conn]struct{}) }

func (h *generations) now() uint64 { return h.generation.Now() }

// witnessPatience bounds the wait for another connection's word.
const witnessPatience = time.Second

// admit finds out where a new connection belongs.
func (h *generations) admit(d *Driver, l *conn) {
	h.admission.Lock()
	defer h.admission.Unlock()
	witnessed := h.witnessed(d)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.began && !witnessed {
		h.generation.Next()
	}
	h.began = true
	h.conns[l] = struct{}{}
	close(l.admitted)
}

// witnessed reports whether another connection is up.
func (h *generations) witnessed(d *Driver) bool {
	h.mu.Lock()
	var up []*conn
	for l := range h.conns {
		if l.net.alive() {
			up = append(up, l)
		} else {
			delete(h.conns, l)
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

// of waits until a connection has been admitted, and returns the generation.
func (h *generations) of(ctx context.Context, l *conn) (uint64, error) {
	select {
	case <-l.admitted:
		return h.now(), nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}
