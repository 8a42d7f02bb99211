package ids_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/faults"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/ids"
)

const hour = time.Hour

func TestIDs(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		p := start(t, server)
		g, _ := p.generator(t, 7)
		ids.SetClock(g, year(hour))
		last := ids.ID(0)
		for range 1000 {
			id := next(t, g)
			if id <= last || id.Node() != 7 || id>>63 != 0 {
				t.Fatalf("%d after %d, of node %d", id, last, id.Node())
			}
			if off := id.Time().Sub(year(hour)()); off > 0 || off < -time.Millisecond {
				t.Fatalf("the time of the ID is off by %v", off)
			}
			last = id
			time.Sleep(time.Millisecond / 3)
		}
		// 1000 IDs in a third of a second: one reservation.
		if n := p.faults.Calls(faults.Commit); n != 2 {
			t.Errorf("%d commits, want 2 with that of the node", n)
		}
		time.Sleep(time.Minute)
		if n := p.faults.Calls(faults.Commit); n != 2 {
			t.Errorf("%d commits at rest", n-2)
		}
	})
}

// While IDs are drawn time is reserved ahead: a slow store holds nobody up.
func TestReservesAhead(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		p := start(t, server)
		g, _ := p.generator(t, 0)
		next(t, g)
		p.faults.Chaos(1, faults.Rates{Slow: 1, MaxDelay: 500 * time.Millisecond})
		before := p.faults.Calls(faults.Commit)
		for range 6000 {
			time.Sleep(10 * time.Millisecond)
			began := time.Now()
			next(t, g)
			if waited := time.Since(began); waited > 0 {
				t.Fatalf("a call waited %v", waited)
			}
		}
		if n := p.faults.Calls(faults.Commit) - before; n < 7 || n > 10 {
			t.Errorf("%d reservations in a minute, want one in 6.7 s", n)
		}
	})
}

// A burst runs ahead of the clock by 100 ms, and further calls wait.
func TestBurst(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		g, _ := start(t, server).generator(t, 0)
		next(t, g)
		began := time.Now()
		const most = 101 * 4096
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				last := ids.ID(0)
				for range most / 2 {
					id := next(t, g)
					if id <= last {
						t.Errorf("%d after %d", id, last)
					}
					last = id
				}
			})
		}
		all.Wait()
		if took := time.Since(began); took < 90*time.Millisecond || took > 110*time.Millisecond {
			t.Errorf("%d IDs took %v, at 4096 per millisecond", 2*most, took)
		}
	})
}

// The next holder of a node number starts above the time that the last one had
// reserved, whatever its clock says, and the last one, which does not know that it
// has lost the number, reserves no more.
func TestNextHolder(t *testing.T) {
	for _, behind := range []time.Duration{0, hour} {
		bubble(t, func(t *testing.T, server *memory.Server) {
			p, q := start(t, server), start(t, server)
			g, n := p.generator(t, 3)
			ids.SetClock(g, year(2*hour))
			next(t, g)
			server.Delete("quorate/" + n.key) // and the process is not told
			h, _ := q.generator(t, 3)
			ids.SetClock(h, year(2*hour-behind))
			first := next(t, h)
			seen := map[ids.ID]bool{first: true}
			for {
				id, err := g.Next(t.Context())
				if err != nil {
					if !errors.Is(err, backend.ErrFenced) {
						t.Errorf("Next of the last holder = %v", err)
					}
					break
				}
				if id >= first || seen[id] {
					t.Fatalf("the last holder hands out %d, the next one began with %d", id, first)
				}
				seen[id] = true
				if id := next(t, h); seen[id] {
					t.Fatalf("%d twice", id)
				} else {
					seen[id] = true
				}
				time.Sleep(10 * time.Millisecond)
			}
			if ahead := first.Time().Sub(year(2 * hour)()); ahead > 10*time.Second {
				t.Errorf("the next holder began %v ahead", ahead)
			}
		})
	}
}

// A new holder whose first reservation was made, and whose reply was lost, starts
// above the last holder nevertheless.
func TestFirstReservationInDoubt(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		p, q := start(t, server), start(t, server)
		g, n := p.generator(t, 3)
		ids.SetClock(g, year(2*hour))
		last := next(t, g)
		server.Delete("quorate/" + n.key)
		h, _ := q.generator(t, 3)
		ids.SetClock(h, year(hour))
		q.faults.Next(faults.Commit, faults.Fault{LoseReply: true})
		if id := next(t, h); id <= last || id.Time().Before(last.Time().Add(9*time.Second)) {
			t.Errorf("the next holder begins with %v, the last one had reserved 10 s from %v", id.Time(), last.Time())
		}
	})
}

// Two generators of one node number in one process, a mistake, share no ID.
func TestTwoOfOneNode(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		p := start(t, server)
		g, n := p.generator(t, 3)
		h, err := ids.New(p.store, "orders", n, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		seen := map[ids.ID]bool{}
		for range 4000 {
			for _, one := range []*ids.Generator{g, h} {
				id := next(t, one)
				if seen[id] {
					t.Fatalf("%d twice", id)
				}
				seen[id] = true
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
}

// A generator that was closed leaves no gap to the next.
func TestClose(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		p := start(t, server)
		var last ids.ID
		for range 20 {
			g, _ := p.generator(t, 3)
			ids.SetClock(g, year(hour))
			for range 5000 {
				id := next(t, g)
				if id <= last {
					t.Fatalf("%d after %d", id, last)
				}
				last = id
			}
			if err := g.Close(); err != nil {
				t.Error(err)
			}
			if id, err := g.Next(t.Context()); !errors.Is(err, backend.ErrClosed) {
				t.Errorf("Next after Close = %d, %v", id, err)
			}
		}
		if ahead := last.Time().Sub(year(hour)()); ahead > 50*time.Millisecond {
			t.Errorf("the last is %v ahead", ahead)
		}
	})
}

func TestNodeLost(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		g, n := start(t, server).generator(t, 3)
		next(t, g)
		lost := errors.New("lost")
		n.lose(lost)
		time.Sleep(1)
		if id, err := g.Next(t.Context()); !errors.Is(err, lost) {
			t.Errorf("Next = %d, %v", id, err)
		}
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
}

// In an outage IDs are handed out for as long as time is reserved. After it all
// goes on, and the reservation in doubt is the generator's own.
func TestOutage(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		p := start(t, server)
		g, _ := p.generator(t, 3)
		next(t, g)
		p.faults.Next(faults.Commit, faults.Fault{LoseReply: true})
		time.Sleep(9 * time.Second)
		last := next(t, g) // begins a reservation, whose reply is lost
		time.Sleep(time.Second)
		server.SetDown(true)
		for {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			id, err := g.Next(ctx)
			cancel()
			if err != nil {
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Next = %v", err)
				}
				break
			}
			if id <= last {
				t.Errorf("%d after %d", id, last)
			}
			last = id
			time.Sleep(100 * time.Millisecond)
		}
		server.SetDown(false)
		id := next(t, g)
		if step := id.Time().Sub(last.Time()); step < 0 || step > 11*time.Second {
			t.Errorf("after an outage of 10 s the time of IDs steps by %v", step)
		}
	})
}

// A clock that jumps does not matter: forward is followed at the next reservation,
// back is not.
func TestClockJumps(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		g, _ := start(t, server).generator(t, 3)
		jump := hour
		ids.SetClock(g, func() time.Time { return year(jump)() })
		last := next(t, g)
		for _, jump = range []time.Duration{5 * hour, 2 * hour, 0, 6 * hour} {
			for range 200 {
				id := next(t, g)
				if id <= last {
					t.Fatalf("%d after %d", id, last)
				}
				last = id
				time.Sleep(100 * time.Millisecond)
			}
		}
		if off := last.Time().Sub(year(6 * hour)()); off > time.Second || off < -time.Second {
			t.Errorf("the time is off by %v", off)
		}
	})
}

func TestNewChecksItsArguments(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		p := start(t, server)
		_, n := p.generator(t, 0)
		for name, try := range map[string]func() error{
			"store":  func() error { _, err := ids.New(nil, "a", n, nil); return err },
			"node":   func() error { _, err := ids.New(p.store, "a", nil, nil); return err },
			"name":   func() error { _, err := ids.New(p.store, "", n, nil); return err },
			"number": func() error { _, err := ids.New(p.store, "a", &node{number: 1024, ctx: n.ctx}, nil); return err },
			"below":  func() error { _, err := ids.New(p.store, "a", &node{number: -1, ctx: n.ctx}, nil); return err },
			"ahead":  func() error { _, err := ids.New(p.store, "a", n, &ids.Options{Ahead: time.Millisecond}); return err },
		} {
			if err := try(); !errors.Is(err, backend.ErrInvalid) {
				t.Errorf("%s: %v", name, err)
			}
		}
		g, err := ids.New(p.store, "late", n, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer g.Close()
		ids.SetClock(g, func() time.Time { return time.Date(2096, 1, 1, 0, 0, 0, 0, time.UTC) })
		if id, err := g.Next(t.Context()); !errors.Is(err, ids.ErrOutOfRange) {
			t.Errorf("in 2096: %d, %v", id, err)
		}
	})
}

func TestUnknownFormat(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		p := start(t, server)
		ops := []backend.Op{backend.Create("ids/orders/nodes/3", []byte(`{"format":2}`))}
		if _, err := p.store.Commit(t.Context(), backend.Txn{Ops: ops}); err != nil {
			t.Fatal(err)
		}
		g, _ := p.generator(t, 3)
		if _, err := g.Next(t.Context()); !errors.Is(err, backend.ErrFormat) {
			t.Errorf("Next = %v, want ErrFormat", err)
		}
	})
}

// BenchmarkNext is bounded by 4,096 IDs per millisecond, 244 ns each.
func BenchmarkNext(b *testing.B) {
	p := start(b, memory.NewServer())
	n, err := p.hold(b.Context(), 0)
	if err != nil {
		b.Fatal(err)
	}
	g, err := ids.New(p.store, "orders", n, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer g.Close()
	if _, err := g.Next(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := g.Next(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
}
