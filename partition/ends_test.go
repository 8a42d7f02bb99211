package partition_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/partition"
)

func TestEndsOfRun(t *testing.T) {
	run := func(p *process) error {
		p.run()
		time.Sleep(2 * time.Second)
		return nil
	}
	bubble(t, partition.Options{Slots: 2}, func(s *scene) {
		p := s.open("left")
		_ = run(p)
		if err := p.part.Run(s.t.Context(), p.reg, p.body); !errors.Is(err, partition.ErrRunning) {
			s.t.Errorf("a second Run: %v", err)
		}
		if err := p.reg.Leave(s.t.Context()); err != nil {
			s.t.Error(err)
		}
		if err := <-p.done; !errors.Is(err, membership.ErrLeft) {
			s.t.Errorf("after Leave: %v", err)
		}
		if left := keysIn(s.server, "/claims/"); len(left) != 0 {
			s.t.Errorf("claims are left: %q", left)
		}
	})
	bubble(t, partition.Options{Slots: 2}, func(s *scene) {
		p := s.open("closed")
		_ = run(p)
		if err := p.store.Close(); err != nil {
			s.t.Error(err)
		}
		if err := <-p.done; !errors.Is(err, backend.ErrClosed) {
			s.t.Errorf("after Close: %v", err)
		}
	})
	bubble(t, partition.Options{Slots: 2}, func(s *scene) {
		p := s.open("twice")
		_ = run(p)
		p.end()
		_ = run(p)
		s.wantShares("in a second Run", "twice:2")
		s.opts.Slots = 3
		other := s.open("other")
		_ = run(other)
		if err := <-other.done; !errors.Is(err, backend.ErrInvalid) {
			s.t.Errorf("with other slots: %v", err)
		}
		s.opts.Slots = 2
		s.opts.Strict = ttl / 2
		short := s.open("short")
		_ = run(short)
		if err := <-short.done; !errors.Is(err, backend.ErrInvalid) {
			s.t.Errorf("with a Strict below the TTL: %v", err)
		}
		p.driver.Silence()
		p.cancel()
		before := time.Now()
		if err := <-p.done; !errors.Is(err, context.Canceled) {
			s.t.Errorf("while the store is silent: %v", err)
		}
		if took := time.Since(before); took > ttl+time.Second {
			s.t.Errorf("it took %v to end while the store is silent", took)
		}
		for _, sp := range s.spans {
			if sp.end.IsZero() || sp.end.Sub(before) > 2500*time.Millisecond && sp.end.After(before) {
				s.t.Errorf("a body ended %v after the context of Run", sp.end.Sub(before))
			}
		}
	})
}

func TestBadInput(t *testing.T) {
	bubble(t, partition.Options{}, func(s *scene) {
		p, q := s.open("a"), s.open("b")
		for what, opts := range map[string]*partition.Options{
			"slots": {Slots: -1}, "too many slots": {Slots: partition.MaxSlots + 1}, "weight": {Weight: -1},
			"large weight": {Weight: partition.MaxWeight + 1}, "settle": {Settle: -1}, "grace": {Grace: -1},
			"drain": {DrainTimeout: -1}, "strict": {Strict: -1},
		} {
			if _, err := partition.New(p.group, "p", opts); !errors.Is(err, backend.ErrInvalid) {
				s.t.Errorf("%s: %v", what, err)
			}
		}
		if _, err := partition.New(nil, "p", nil); !errors.Is(err, backend.ErrInvalid) {
			s.t.Errorf("no group: %v", err)
		}
		if _, err := partition.New(p.group, "", nil); !errors.Is(err, backend.ErrInvalid) {
			s.t.Errorf("no name: %v", err)
		}
		reg, err := q.group.Join(s.t.Context(), membership.Member{ID: "b"})
		if err != nil {
			s.t.Fatal(err)
		}
		for what, err := range map[string]error{
			"no registration": p.part.Run(s.t.Context(), nil, p.body),
			"of another":      p.part.Run(s.t.Context(), reg, p.body),
			"no body":         q.part.Run(s.t.Context(), reg, nil),
		} {
			if !errors.Is(err, backend.ErrInvalid) {
				s.t.Errorf("%s: %v", what, err)
			}
		}
		if p.part.Name() != "p" || p.part.Slots() != partition.DefaultSlots || p.part.Slot("x") != partition.SlotOf("x", partition.DefaultSlots) {
			s.t.Error("the partition does not know itself")
		}
	})
}

// Catches: a Partition that remembers every registration that ever ran in it,
// where Run ends before the registration does.
func TestEndedRegistrationsAreForgotten(t *testing.T) {
	bubble(t, partition.Options{Slots: 2}, func(s *scene) {
		p := s.open("a")
		for range 5 {
			reg, err := p.group.Join(s.t.Context(), membership.Member{ID: "b"})
			if err != nil {
				s.t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(s.t.Context())
			done := make(chan error, 1)
			go func() { done <- p.part.Run(ctx, reg, p.body) }()
			time.Sleep(2 * time.Second)
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				s.t.Errorf("Run = %v", err)
			}
			if registrations, used := p.part.Entered(); registrations != 1 || used != 0 {
				s.t.Errorf("%d registrations are remembered and claims of %d are in use, want 1 and 0: it lives", registrations, used)
			}
			if err := reg.Leave(s.t.Context()); err != nil {
				s.t.Error(err)
			}
			synctest.Wait()
			if registrations, _ := p.part.Entered(); registrations != 0 {
				s.t.Errorf("%d registrations are remembered after they ended", registrations)
			}
		}
	})
}
