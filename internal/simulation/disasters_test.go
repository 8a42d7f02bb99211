package simulation

import (
	"context"
	"errors"
	"time"

	"github.com/quorate/quorate/backend/faults"
)

// disaster does something bad.
func (s *simulation) disaster() {
	if s.backup == nil || s.random.IntN(8) == 0 {
		s.takeBackup()
	}
	from := kinds[s.kind].faults
	what := from[s.random.IntN(len(from))]
	p := s.procs[s.random.IntN(len(s.procs))]
	switch what {
	case wiped, restored:
		s.story.Tell("%s", rules[what].what)
		s.undo(what)
		return
	case keyDeleted:
		s.deleteKey()
		return
	case joined:
		if len(s.procs) >= 8 {
			return
		}
	case storeDown, storeUp:
	default:
		if p.gone {
			return
		}
	}
	s.mu.Lock()
	s.happens(what)
	s.mu.Unlock()
	s.story.Tell("%s: %s", p.id, rules[what].what)
	switch what { //nolint:exhaustive // the others are the store's, and not of a process
	case cutOff:
		p.faults.Partition(true)
	case connected:
		p.connect()
	case reset:
		p.memory.Cut()
		p.memory.Heal()
	case silent:
		p.gate.set(closes)
	case lateThenSilent:
		renewal := p.faults.Next(faults.Renew, faults.Fault{ReplyDelay: renewLate})
		ctx, cancel := context.WithTimeout(context.Background(), ttl/2)
		defer cancel()
		select {
		case <-renewal.Hit():
			time.Sleep(renewLate + time.Millisecond)
			p.gate.set(closes)
		case <-ctx.Done():
		}
	case muted:
		p.gate.set(mutes)
	case paused:
		p.gate.set(closes)
		time.Sleep(time.Duration(s.random.Int64N(int64(3 * ttl / 2))))
		p.gate.set(open)
	case watchesCut:
		p.faults.CutWatches()
	case crashed:
		p.crash()
		s.start(s.newID())
	case restarted:
		p.crash()
		s.start(p.id)
	case left:
		p.leave()
		s.start(s.newID())
	case joined:
		s.start(s.newID())
	case storeDown:
		s.server.SetDown(true)
	case storeUp:
		s.server.SetDown(false)
	case expireLate:
		p.faults.ExpireLate(late)
	case expireEarly:
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = p.faults.ExpireEarly(ctx)
	}
}

// deleteKey deletes a key by hand.
func (s *simulation) deleteKey() {
	entries := s.server.Entries()
	for range 20 {
		if len(entries) == 0 {
			return
		}
		entry := entries[s.random.IntN(len(entries))]
		numberOf, ok := deletable(entry.Key)
		if !ok {
			continue
		}
		if numberOf != "" {
			if s.office(numberOf).cut {
				continue // the other key keeps the number
			}
			s.office(numberOf).cut = true
		}
		s.mu.Lock()
		s.happens(keyDeleted)
		s.story.Tell("%s is deleted by hand", entry.Key)
		s.server.Delete(entry.Key)
		s.mu.Unlock()
		return
	}
}

// connect undoes what keeps a process from the store.
func (p *process) connect() {
	p.faults.Partition(false)
	p.gate.set(open)
}

// crash lets a process fall silent for ever. What it has sent may still land,
// and what runs in it goes on for as long as it trusts itself, which is longer
// than a process that has crashed does anything.
func (p *process) crash() {
	p.gone = true
	p.dead.Store(true)
	p.gate.set(dead)
	p.faults.Partition(false) // it is the gate that keeps things back
	p.s.ending.Go(func() {
		time.Sleep(maxLate + ttl)
		p.stop()
		p.work.Wait()
		_ = p.sequence.Close()
		_ = p.tally.Close()
		_ = p.part.Close()
		_ = p.store.Close()
	})
}

// leave ends a process in order, as far as the store lets it.
func (p *process) leave() {
	p.gone = true
	p.stop()
	p.s.ending.Go(func() {
		p.work.Wait()
		_ = p.sequence.Close()
		closing, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_ = p.flushes(closing, "closed its tally with", func(ctx context.Context) error {
			return errors.Join(p.tally.Flush(ctx), p.tally.Close())
		})
		_ = p.part.Close()
		if err := p.store.Close(); err != nil && p.s.quiet.Load() {
			p.s.t.Errorf("Close of %s: %v", p.id, err)
		}
	})
}

// calm ends all faults, save that who crashed stays away.
func (s *simulation) calm() {
	s.story.Tell("all faults end")
	s.calmed.Store(true)
	s.server.SetDown(false)
	for _, p := range s.procs {
		p.faults.Chaos(0, noFaults)
		p.faults.ExpireLate(0)
		p.connect()
	}
}
