package zookeeper

import (
	"context"
	"sync"
	"time"

	"github.com/quorate/quorate/backend/driver"
)

// generations counts the generations of a driver (clause C12).
//
// A node's version is a small number, which comes again when the store is
// restored from a backup. For a restore all servers are stopped, which ends
// every connection. So there was no restore as long as each connection
// overlapped with the next. A new connection continues the generation if
// another one is up, which a quorum's answer on that other one proves
// afterwards. A connection that comes up alone begins a new generation.
//
// A version has the generation that was present when the read that showed it
// began. A commit compares versions of the present generation only. It uses a
// connection that belongs to this generation or is dead.
type generations struct {
	admission sync.Mutex // held by the connection that is being admitted

	generation driver.Generation

	mu    sync.Mutex         // guards the fields below
	conns map[*conn]struct{} // admitted, and perhaps up
	began bool
}

func (g *generations) init() { g.conns = make(map[*conn]struct{}) }

func (g *generations) now() uint64 { return g.generation.Now() }

// witnessPatience bounds the wait for the answer on another connection.
const witnessPatience = time.Second

// admit decides which generation a new connection belongs to.
func (g *generations) admit(d *Driver, c *conn) {
	g.admission.Lock()
	defer g.admission.Unlock()
	witnessed := g.witnessed(d)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.began && !witnessed {
		g.generation.Next()
	}
	g.began = true
	g.conns[c] = struct{}{}
	close(c.admitted)
}

// witnessed reports whether another connection is up.
func (g *generations) witnessed(d *Driver) bool {
	g.mu.Lock()
	var up []*conn
	for c := range g.conns {
		if c.net.alive() {
			up = append(up, c)
		} else {
			delete(g.conns, c)
		}
	}
	g.mu.Unlock()
	ctx, cancel := context.WithTimeout(d.life, witnessPatience)
	defer cancel()
	for _, c := range up {
		if c.barrier(ctx) == nil {
			return true
		}
	}
	return false
}

// of waits until a connection has been admitted, and returns the generation.
func (g *generations) of(ctx context.Context, c *conn) (uint64, error) {
	select {
	case <-c.admitted:
		return g.now(), nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}
