package modes

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/integration/cluster"
)

// limits are the connections that a server takes from one address by default,
// and how many a worker may have at most. etcd has no limit of its own.
var limits = map[string]struct{ server, worker int }{
	"etcd":      {server: 0, worker: 6},
	"consul":    {server: 200, worker: 32 + 16 + 4},
	"zookeeper": {server: 60, worker: 2},
	"postgres":  {server: cluster.PostgresConnections, worker: 4 + 1},
}

// TestTooManyConnections: somebody on the same address fills the servers with
// connections up to their limits and beyond, and then the workers lose theirs.
// The workers have few and keep to them; cut off they give up what they own;
// and once the others have gone they are back.
func TestTooManyConnections(t *testing.T) {
	mode(t, func(t *testing.T, c *crew) {
		limit := limits[c.store.Name]
		for _, w := range c.workers {
			if n := w.net.Stats().Connections; n > limit.worker {
				t.Errorf("%s has %d connections, at most %d are wanted", w.id, n, limit.worker)
			}
		}
		crowd := newCrowd(t, c.cluster.Addrs(), max(limit.server, 100)*5/4)
		defer crowd.end()
		crowd.full(t, limit.server)
		var lost int
		c.note(func() { lost = c.lost() })
		// Cut off until the crowd has taken their places too, they come back to
		// full servers, and none of them may own anything beyond its TTL.
		for _, w := range c.workers {
			w.net.Cut()
		}
		cut := time.Now()
		<-time.After(2 * comesAgain)
		for _, w := range c.workers {
			w.net.HealReset()
		}
		if err := patiently(cut.Add(ttl+hears), c.idle); err != nil && limit.server > 0 {
			t.Errorf("the servers are full: %v", err)
		}
		for _, w := range c.workers {
			if n := w.net.Stats().Connections; n > limit.worker {
				t.Errorf("%s has %d connections, at most %d are wanted", w.id, n, limit.worker)
			}
		}
		if limit.server == 0 {
			c.note(func() {
				if now := c.lost(); now != lost {
					t.Errorf("%d sessions were lost", now-lost)
				}
			})
		}
		refused := crowd.end()
		if limit.server > 0 && refused == 0 {
			t.Errorf("no connection was refused: the servers were not full")
		}
		c.recovers(c.writes(), map[string]func(*testing.T){
			"election":  func(t *testing.T) { c.neverTwo("election", 0)(t); c.termsGrow(t) },
			"counter":   c.exact,
			"partition": c.neverTwo("partition", 0),
		})
	})
}

var (
	errOwned   = errors.New("something is still owned")
	errNotFull = errors.New("the servers are not full")
)

// lost is how many sessions were lost so far. The mutex is held.
func (c *crew) lost() (n int) {
	for _, w := range c.workers {
		n += w.lost
	}
	return n
}

// idle is content when nobody owns anything.
func (c *crew) idle() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.offices.now()); n > 0 {
		return errOwned
	}
	for k := range c.slots {
		if len(c.slots[k].now()) > 0 {
			return errOwned
		}
	}
	return nil
}

// comesAgain is how long one of the crowd waits that was refused.
const comesAgain = 500 * time.Millisecond

// crowd is connections that say nothing, and come again when they are refused.
type crowd struct {
	stop    chan struct{}
	all     sync.WaitGroup
	once    sync.Once
	mu      sync.Mutex
	open    map[string]int // by address
	refused int
	changed chan struct{}
}

func newCrowd(t *testing.T, addrs []string, each int) *crowd {
	w := &crowd{stop: make(chan struct{}), open: make(map[string]int), changed: make(chan struct{}, 1)}
	for _, addr := range addrs {
		for range each {
			w.all.Go(func() { w.stay(addr) })
		}
	}
	t.Cleanup(func() { w.end() })
	return w
}

// stay connects, and again each time that it is refused.
func (w *crowd) stay(addr string) {
	for {
		conn, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			w.count(addr, 1)
			ended := make(chan struct{})
			go func() {
				_, _ = io.Copy(io.Discard, conn) // until the server closes it
				close(ended)
			}()
			select {
			case <-ended:
			case <-w.stop:
			}
			conn.Close()
			<-ended
			w.count(addr, -1)
		}
		again := time.NewTimer(comesAgain)
		select {
		case <-w.stop:
			again.Stop()
			return
		case <-again.C:
		}
	}
}

func (w *crowd) count(addr string, by int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open[addr] += by
	select {
	case <-w.stop:
	default:
		if by < 0 {
			w.refused++
		}
	}
}

// full waits until every server has refused some, or has as many as come.
func (w *crowd) full(t *testing.T, limit int) {
	t.Helper()
	err := patiently(time.Now().Add(10*time.Second), func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, n := range w.open {
			if limit > 0 && (w.refused == 0 || n < limit/2) || limit == 0 && n < 100 {
				return errNotFull
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// end ends all connections and returns how many were refused.
func (w *crowd) end() int {
	w.once.Do(func() { close(w.stop) })
	w.all.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.refused
}
