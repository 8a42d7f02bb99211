// Package policy proves that every primitive keeps to the policy of errors of
// package backend, in virtual time.
package policy

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/counter"
	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/partition"
	"github.com/quorate/quorate/quota"
	"github.com/quorate/quorate/restart"
)

// writes are operations of each primitive that wait until a commit of theirs is
// applied. Each returns the wait; what comes before it needs a store that works.
var writes = map[string]func(t *testing.T, p *process) func(context.Context) error{
	"counter add": func(t *testing.T, p *process) func(context.Context) error {
		c, err := counter.New(p.Store, "a", nil)
		must(t, err)
		return func(ctx context.Context) error {
			n, err := c.Add(ctx, 1)
			if err == nil && n != 1 {
				t.Errorf("Add = %d", n)
			}
			return err
		}
	},
	"counter compare and set": func(t *testing.T, p *process) func(context.Context) error {
		c, err := counter.New(p.Store, "a", nil)
		must(t, err)
		return func(ctx context.Context) error {
			_, err := c.CompareAndSet(ctx, 0, 7)
			return err
		}
	},
	"counter delete": func(t *testing.T, p *process) func(context.Context) error {
		c, err := counter.New(p.Store, "a", nil)
		must(t, err)
		_, err = c.Add(t.Context(), 1)
		must(t, err)
		return c.Delete
	},
	"quota take": func(t *testing.T, p *process) func(context.Context) error {
		q, err := quota.New(p.Store, "a", 10, time.Hour, nil)
		must(t, err)
		return func(ctx context.Context) error {
			granted, err := q.Take(ctx, 1)
			if err == nil && !granted {
				t.Error("nothing was granted")
			}
			return err
		}
	},
	"tally flush": func(t *testing.T, p *process) func(context.Context) error {
		tally, err := counter.NewTally(p.Store, "a", nil)
		must(t, err)
		tally.Add(1)
		t.Cleanup(func() { _ = tally.Close() })
		return tally.Flush
	},
	"sequence": func(t *testing.T, p *process) func(context.Context) error {
		s, err := counter.NewSequence(p.Store, "a", nil)
		must(t, err)
		t.Cleanup(func() { _ = s.Close() })
		return func(ctx context.Context) error {
			_, err := s.Next(ctx)
			return err
		}
	},
	"group join": func(t *testing.T, p *process) func(context.Context) error {
		g, err := membership.New(p.Store, "a", nil)
		must(t, err)
		return func(ctx context.Context) error {
			_, err := g.Join(ctx, membership.Member{ID: "m"})
			return err
		}
	},
	"group leave": func(t *testing.T, p *process) func(context.Context) error {
		g, err := membership.New(p.Store, "a", nil)
		must(t, err)
		r, err := g.Join(t.Context(), membership.Member{ID: "m"})
		must(t, err)
		return r.Leave
	},
	"member update": func(t *testing.T, p *process) func(context.Context) error {
		g, err := membership.New(p.Store, "a", nil)
		must(t, err)
		r, err := g.Join(t.Context(), membership.Member{ID: "m"})
		must(t, err)
		return func(ctx context.Context) error { return r.Update(ctx, map[string]string{"a": "b"}) }
	},
	"partition slot": func(t *testing.T, p *process) func(context.Context) error {
		g, err := membership.New(p.Store, "a", nil)
		must(t, err)
		r, err := g.Join(t.Context(), membership.Member{ID: "m"})
		must(t, err)
		slots, err := partition.New(g, "a", &partition.Options{Slots: 1})
		must(t, err)
		return func(ctx context.Context) error {
			running, began := make(chan error, 1), make(chan struct{})
			ctx, stop := context.WithCancel(ctx)
			go func() {
				running <- slots.Run(ctx, r, func(ctx context.Context, _ *partition.Slot) error {
					close(began)
					<-ctx.Done()
					return nil
				})
			}()
			defer func() { _ = <-running }()
			defer stop()
			select {
			case <-began:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	},
	"checkpoint save": func(t *testing.T, p *process) func(context.Context) error {
		c, err := restart.NewCheckpoint[int](p.Store, "a", nil)
		must(t, err)
		_, _, err = c.Claim(t.Context())
		must(t, err)
		return func(ctx context.Context) error { return c.Save(ctx, 1) }
	},
}

// TestAnUnknownOutcomeIsNotSentAgainAtOnce: a store that answers "unknown" at
// once, as etcd does when its space is used up, is asked again with pauses that
// grow; one warning says so, and Retrying events do.
func TestAnUnknownOutcomeIsNotSentAgainAtOnce(t *testing.T) {
	for name, prepare := range writes {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := start(t, memory.NewServer())
				write := prepare(t, p)
				synctest.Wait()
				p.driver.answer(nil, driver.ErrIndeterminate)
				before, warned, retried := p.driver.commits.Load(), p.warnings.Load(), p.retries.Load()
				done := make(chan struct{})
				go func() {
					defer close(done)
					if err := write(t.Context()); err != nil {
						t.Errorf("%s = %v", name, err)
					}
				}()
				const while = time.Minute
				time.Sleep(while)
				sent := p.driver.commits.Load() - before
				if sent < 20 || sent > 400 {
					t.Errorf("%d commits in %v", sent, while)
				}
				if n := p.warnings.Load() - warned; n < 1 || n > 20 {
					t.Errorf("%d warnings in %v", n, while)
				}
				if n := p.retries.Load() - retried; n < 20 {
					t.Errorf("%d Retrying events for %d commits", n, sent)
				}
				p.driver.answer(nil, nil)
				within(t, "the end of it", 10*time.Second, done)
			})
		})
	}
}
