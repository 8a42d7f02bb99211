package counter_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/faults"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/counter"
)

func (p *process) tally(t *testing.T, options *counter.TallyOptions) *counter.Tally {
	t.Helper()
	tally, err := counter.NewTally(p.store, "t", options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tally.Close() })
	return tally
}

func total(t *testing.T, tally *counter.Tally, want int64) {
	t.Helper()
	if got, err := tally.Total(t.Context()); err != nil || got != want {
		t.Errorf("Total() = %d, %v, want %d", got, err, want)
	}
}

// What is added is flushed by itself, at most once per interval, and at rest
// there is no traffic.
func TestTallyFlushesOncePerInterval(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		p, q := start(t, server, nil), start(t, server, nil)
		tally, other := p.tally(t, nil), q.tally(t, nil)
		total(t, tally, 0)
		before := server.Stats().Commits
		began := time.Now()
		var flushed time.Time
		for i := range 100000 {
			tally.Add(1)
			if i == 0 && server.Stats().Commits != before {
				t.Error("Add does I/O")
			}
			time.Sleep(time.Millisecond)
			if flushed.IsZero() && server.Stats().Commits > before {
				flushed = time.Now()
			}
		}
		if first := flushed.Sub(began); first < time.Second || first > 1250*time.Millisecond+time.Millisecond {
			t.Errorf("the first flush came after %v, want an interval of 1 s to a quarter more", first)
		}
		if n := server.Stats().Commits - before; n > 100 || n < 75 {
			t.Errorf("%d commits in 100 intervals", n)
		}
		time.Sleep(2 * time.Second)
		total(t, other, 100000)
		rest := server.Stats()
		time.Sleep(time.Hour)
		if server.Stats() != rest {
			t.Error("there is traffic at rest")
		}
	})
}

func TestTallyFlushAndClose(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		p := start(t, server, nil)
		tally := p.tally(t, &counter.TallyOptions{Interval: time.Hour})
		tally.Add(5)
		tally.Add(-7)
		if err := tally.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		total(t, tally, -2)
		tally.Add(10)
		if err := tally.Close(); err != nil {
			t.Error(err)
		}
		total(t, tally, 8)
		tally.Add(100)
		time.Sleep(3 * time.Hour)
		total(t, tally, 8) // what is added after Close is lost
	})
}

// Flush waits for what was added before it, also when another flush is on.
func TestTallyFlushIncludesAllBefore(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		p := start(t, server, nil)
		tally := p.tally(t, nil)
		tally.Add(1)
		p.faults.Next(faults.Commit, faults.Fault{Delay: time.Second, LoseReply: true})
		time.Sleep(1500 * time.Millisecond) // a flush is under way
		tally.Add(1)
		if err := tally.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		total(t, tally, 2)
	})
}

// Through an outage of any length nothing is lost, and adding does not wait.
func TestTallyThroughAnOutage(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		p := start(t, server, nil)
		tally := p.tally(t, nil)
		for i := range 1000 {
			switch i {
			case 100:
				p.faults.Next(faults.Commit, faults.Fault{LoseReply: true})
			case 110:
				server.SetDown(true)
			case 900:
				server.SetDown(false)
			}
			began := time.Now()
			tally.Add(1)
			if time.Since(began) > 0 {
				t.Fatal("Add waits")
			}
			time.Sleep(100 * time.Millisecond)
		}
		if err := tally.Close(); err != nil {
			t.Error(err)
		}
		total(t, tally, 1000)
	})
}

// Close says what it could not flush.
func TestTallyCloseInAnOutage(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		p := start(t, server, nil)
		tally := p.tally(t, nil)
		tally.Add(42)
		server.SetDown(true)
		began := time.Now()
		err := tally.Close()
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("Close in an outage took %v, want 2s", took)
		}
		if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, backend.ErrIndeterminate) || !strings.Contains(err.Error(), "with 42 not flushed") {
			t.Errorf("Close in an outage: %v", err)
		}
		server.SetDown(false)
		time.Sleep(time.Hour)
		total(t, tally, 0)

		tally = p.tally(t, nil)
		tally.Add(1)
		if err := tally.Close(); err != nil {
			t.Errorf("Close after the outage: %v", err)
		}
		total(t, tally, 1)

		// Sent, and not known what became of it.
		p.faults.Next(faults.Commit, faults.Fault{LoseReply: true})
		p.faults.Next(faults.Read, faults.Fault{}) // the base
		for range 2 {                              // a Read is tried again within the time of Close
			p.faults.Next(faults.Read, faults.Fault{Delay: time.Hour})
		}
		tally = p.tally(t, nil)
		tally.Add(1)
		if err := tally.Close(); !errors.Is(err, backend.ErrIndeterminate) {
			t.Errorf("Close in doubt: %v, want ErrIndeterminate", err)
		}
	})
}

func TestTallyRangeOfTheTotal(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		var tallies []*counter.Tally
		shards := make(map[string]bool)
		for len(shards) < 3 { // each keeps to one of the shards
			tally := start(t, server, nil).tally(t, &counter.TallyOptions{Shards: 3})
			tally.Add(1)
			if err := tally.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, e := range server.Entries() {
				if e.Key == "quorate/tally/%floor" {
					continue
				}
				if !shards[e.Key] {
					shards[e.Key] = true
					tallies = append(tallies, tally)
				}
				if !strings.HasPrefix(e.Key, "quorate/tally/t/shards/") {
					t.Errorf("key %s", e.Key)
				}
			}
		}
		sum, err := tallies[0].Total(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		flush := func(i int, delta int64) error {
			tallies[i].Add(delta)
			return tallies[i].Flush(t.Context())
		}
		for i := range 2 {
			if err := flush(i, math.MaxInt64-100); err != nil {
				t.Error(err)
			}
		}
		if got, err := tallies[0].Total(t.Context()); !errors.Is(err, counter.ErrOutOfRange) {
			t.Errorf("Total() = %d, %v, want ErrOutOfRange", got, err)
		}
		if err := flush(2, -(math.MaxInt64 - 100)); err != nil {
			t.Error(err)
		}
		total(t, tallies[0], math.MaxInt64-100+sum)
		// What its shard cannot hold is kept.
		if err := flush(0, math.MaxInt64-100); !errors.Is(err, counter.ErrOutOfRange) {
			t.Errorf("Flush of what does not fit: %v, want ErrOutOfRange", err)
		}
		if err := flush(0, -2*(math.MaxInt64/2)); err != nil {
			t.Errorf("Flush of what fits again: %v", err)
		}
	})
}

// torn is a driver that reads the keys of a directory one after the other, as
// a store may: what happens in between is up to the test.
type torn struct {
	*memory.Driver
	server  *memory.Server
	between func()
}

func (d *torn) Read(ctx context.Context, targets ...backend.Target) ([][]backend.Entry, error) {
	read, err := d.Driver.Read(ctx, targets...)
	if err != nil || !targets[0].Dir {
		return read, err
	}
	for i, e := range read[0] {
		if i > 0 {
			d.between()
		}
		again, err := d.Driver.Read(ctx, backend.Target{Path: e.Key})
		if err != nil {
			return nil, err
		}
		read[0][i] = again[0][0]
	}
	return read, nil
}

// Where a store gives the values of several keys of several instants, Total
// reads until they stand still.
func TestTotalIsOfOneInstant(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		p := start(t, server, nil)
		writers := make(map[string]*counter.Tally)
		for len(writers) < 2 {
			tally := p.tally(t, &counter.TallyOptions{Shards: 2})
			tally.Add(100)
			if err := tally.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, e := range server.Entries() {
				if writers[e.Key] == nil && e.Key != "quorate/tally/%floor" {
					writers[e.Key] = tally
				}
			}
		}
		first, second := writers["quorate/tally/t/shards/0~0"], writers["quorate/tally/t/shards/1~0"]
		moves := 0
		d := &torn{memory.NewDriver(server), server, func() {
			// One flush to each shard, the first before the second: a read
			// that sees only the second saw no instant.
			if moves++; moves > 5 {
				return
			}
			for _, tally := range []*counter.Tally{first, second} {
				tally.Add(1)
				if err := tally.Flush(t.Context()); err != nil {
					t.Error(err)
				}
			}
		}}
		store, err := backend.New(d, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		reader, err := counter.NewTally(store, "t", nil)
		if err != nil {
			t.Fatal(err)
		}
		before, err := first.Total(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		total(t, reader, before+10)

		// One that never stands still is not guessed.
		d.between = func() {
			first.Add(1)
			if err := first.Flush(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if got, err := reader.Total(t.Context()); !errors.Is(err, backend.ErrUnavailable) {
			t.Errorf("Total of what moves all the time = %d, %v, want ErrUnavailable", got, err)
		}
	})
}

// Many goroutines add, flush and close at once, and every add is counted.
func TestTallyConcurrently(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		p := start(t, server, nil)
		tally := p.tally(t, &counter.TallyOptions{Interval: time.Millisecond})
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for i := range 2000 {
					tally.Add(1)
					if i%100 == 0 {
						time.Sleep(time.Millisecond)
					}
				}
				if err := tally.Flush(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		total(t, tally, 16000)
	})
}

// TestEstimate: one read, whatever moves; and what it shows lies between the
// totals around it.
func TestEstimate(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		p, q := start(t, server, nil), start(t, server, nil)
		tally, other := p.tally(t, nil), q.tally(t, nil)
		if got := tally.Name() + p.Name(); got != "tc" {
			t.Errorf("Names %q", got)
		}
		estimate := func(want int64) {
			t.Helper()
			before := server.Stats().Reads
			if got, err := tally.Estimate(t.Context()); err != nil || got != want {
				t.Errorf("Estimate() = %d, %v, want %d", got, err, want)
			}
			if n := server.Stats().Reads - before; n != 1 {
				t.Errorf("it took %d reads", n)
			}
		}
		estimate(0)
		tally.Add(3)
		other.Add(4)
		estimate(0)
		for _, flushed := range []*counter.Tally{tally, other} {
			if err := flushed.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		estimate(7)
		server.SetDown(true)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := tally.Estimate(ctx); !errors.Is(err, backend.ErrUnavailable) {
			t.Errorf("without a store: %v", err)
		}
		server.SetDown(false)
	})
}
