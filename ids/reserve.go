package ids

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/internal/document"
)

// format is the number of the format of reserve.
const format = 1

// closeTimeout bounds a Close.
const closeTimeout = 2 * time.Second

// reserve is the document of a node: the time that is reserved, and for which
// generator.
type reserve struct {
	Until  int64  `json:"until_ms"` // since Epoch
	Holder string `json:"holder"`
}

// begin begins a reservation, unless one is under way.
func (g *Generator) begin() *reservation {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.reserving != nil {
		return g.reserving
	}
	r := &reservation{done: make(chan struct{})}
	if g.closed {
		r.err = backend.ErrClosed
		close(r.done)
		return r
	}
	g.reserving = r
	g.soon.Store(math.MaxInt64) // until this one is made
	g.running.Go(func() {
		err := g.store.Retry(g.life, g.label, "reserve", g.extend)
		g.mu.Lock()
		defer g.mu.Unlock()
		g.reserving, r.err = nil, err
		close(r.done)
	})
	return r
}

// reserved waits for a reservation.
func (g *Generator) reserved(ctx context.Context) error {
	r := g.begin()
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// extend is one attempt to reserve time.
//
// If the document names this generator as its holder, all time from what it has
// reserved up to what the document says is its own, that of a commit in doubt
// included. Otherwise another generator had it, and this one starts above it, also
// if it learns only from a later read that its commit was applied.
func (g *Generator) extend(ctx context.Context) error {
	for {
		entry, found, err := g.store.Get(ctx, g.key)
		if err != nil {
			return err
		}
		var doc reserve
		if found {
			if err := document.Decode(entry.Value, format, &doc); err != nil {
				return fmt.Errorf("%s: %w", g.key, err)
			}
		}
		g.follow(g.wall())
		if found && doc.Holder != g.nonce {
			g.above = max(g.above, doc.Until)
		}
		until := max(max(g.now(), g.above+1)+g.ahead.Milliseconds(), doc.Until, g.until.Load())
		if until > maxTime {
			return fmt.Errorf("%w: %w: time until %d", backend.ErrInvalid, ErrOutOfRange, until)
		}
		result, err := g.store.Commit(ctx, g.write(entry, found, reserve{Until: until, Holder: g.nonce}), g.node.Guard())
		switch {
		case err != nil:
			return err
		case !result.Applied:
			continue
		}
		g.startAbove(g.above)
		g.soon.Store(until - g.ahead.Milliseconds()/3)
		g.until.Store(until)
		return nil
	}
}

// write puts the document where it was read.
func (g *Generator) write(entry backend.Entry, found bool, doc reserve) backend.Txn {
	data, err := document.Encode(format, doc)
	if err != nil {
		panic(err) // the document is of a number and a string
	}
	if !found {
		return backend.Txn{Ops: []backend.Op{backend.Create(g.key, data)}}
	}
	return backend.Txn{Ops: []backend.Op{backend.Put(g.key, data, entry.Version)}}
}

// follow sets the generator's time forward to that of the clock.
func (g *Generator) follow(wall time.Time) {
	ahead := wall.Round(0).Sub(Epoch) - time.Since(g.began)
	for {
		offset := g.offset.Load()
		if int64(ahead) <= offset || g.offset.CompareAndSwap(offset, int64(ahead)) {
			return
		}
	}
}

// startAbove has all further IDs be of a later time than ms. The generator's time
// is set forward if it is not. A negative ms is above nothing.
func (g *Generator) startAbove(ms int64) {
	if ms < 0 {
		return
	}
	if behind := ms + 1 - g.now(); behind > 0 {
		g.offset.Add(behind * int64(time.Millisecond))
	}
	for {
		last := g.last.Load()
		if last >= uint64(momentOf(ms, maxCount)) || g.last.CompareAndSwap(last, uint64(momentOf(ms, maxCount))) {
			return
		}
	}
}

// giveBack has the document say that nothing later than ms is reserved.
func (g *Generator) giveBack(ms int64) error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	return g.store.Retry(ctx, g.label, "give back", func(ctx context.Context) error {
		for {
			entry, found, err := g.store.Get(ctx, g.key)
			if err != nil || !found {
				return err
			}
			var doc reserve
			if err := document.Decode(entry.Value, format, &doc); err != nil {
				return fmt.Errorf("%s: %w", g.key, err)
			}
			if doc.Holder != g.nonce || doc.Until <= ms {
				return nil
			}
			result, err := g.store.Commit(ctx, g.write(entry, found, reserve{Until: ms, Holder: g.nonce}), g.node.Guard())
			if errors.Is(err, backend.ErrFenced) || err == nil && result.Applied {
				return nil
			}
			if err != nil {
				return err
			}
		}
	})
}
