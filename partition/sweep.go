package partition

import (
	"context"
	"errors"
	"math/rand/v2"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/membership"
)

// retire remembers a registration whose claims are no longer in use, for as
// long as its session lives: a restore may bring them back, or a create that
// was given up may land, and then they would keep slots from everybody.
func (p *Partition) retire(standing *membership.Standing) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.life.Err() != nil || standing.Session.Context().Err() != nil {
		return // what there may be goes with the session
	}
	p.past[p.keys.claimsOf(standing.Registration)] = standing.Session
	if !p.sweeping {
		p.sweeping = true
		p.following.Go(p.sweep)
	}
}

// sweep deletes claims that have come back, until no session is left under
// which they could.
func (p *Partition) sweep() {
	for {
		keys, session := p.retired()
		if len(keys) == 0 {
			return
		}
		half := session.TTL() / 2
		ctx, cancel := context.WithCancel(p.life)
		stop := context.AfterFunc(session.Context(), cancel)
		if pause(ctx, half-rand.N(half/4)) == nil {
			if err := p.sweepKeys(ctx, keys); err != nil && ctx.Err() == nil && !errors.Is(err, backend.ErrUnavailable) {
				p.store.Logger().Warn("claims that are no longer in use could not be looked for", "partition", p.name, "error", err)
			}
		}
		stop()
		cancel()
	}
}

// retired returns the keys that may come back, and one of their sessions.
func (p *Partition) retired() (keys []string, session *backend.Session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, s := range p.past {
		if p.life.Err() != nil || s.Context().Err() != nil {
			delete(p.past, key)
			continue
		}
		keys, session = append(keys, key), s
	}
	p.sweeping = len(keys) > 0
	return keys, session
}

func (p *Partition) sweepKeys(ctx context.Context, keys []string) error {
	for _, key := range keys {
		entry, found, err := p.store.Get(ctx, key)
		if err != nil {
			return err
		}
		if !found {
			continue
		}
		p.store.Logger().Info("sweeping claims that have come back", "partition", p.name, "key", key)
		if _, err := p.store.Commit(ctx, driver.Txn{Ops: []driver.Op{driver.Delete(key, entry.Version)}}); err != nil {
			return err
		}
	}
	return nil
}
