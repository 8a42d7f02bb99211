package pages_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/memory"
)

// silence is a driver whose renewals vanish while it is on: also one that was
// sent before it went off is never answered.
type silence struct {
	*memory.Driver
	on atomic.Bool
}

func (s *silence) Grant(ctx context.Context, ttl time.Duration) (driver.Lease, error) {
	lease, err := s.Driver.Grant(ctx, ttl)
	return silent{lease, s}, err
}

type silent struct {
	driver.Lease
	s *silence
}

func (l silent) Renew(ctx context.Context) (time.Duration, error) {
	if l.s.on.Load() {
		<-ctx.Done()
		return 0, fmt.Errorf("%w: %w", driver.ErrUnavailable, context.Cause(ctx))
	}
	return l.Lease.Renew(ctx)
}

// upkeep is a Store whose session is renewed and watched.
type upkeep struct {
	driver  *silence
	session *backend.Session
	renewed chan struct{}
	gone    chan struct{}
}

func keep(t *testing.T, server *memory.Server, ttl time.Duration) *upkeep {
	t.Helper()
	u := &upkeep{driver: &silence{Driver: memory.NewDriver(server)}, renewed: make(chan struct{}, 1000), gone: make(chan struct{}, 1)}
	store, err := backend.New(u.driver, &backend.Options{TTL: ttl, Trace: &backend.Trace{
		SessionRenewed: func(backend.SessionRenewed) { u.renewed <- struct{}{} },
		SessionLost:    func(backend.SessionLost) { u.gone <- struct{}{} },
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		u.end()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	if u.session, err = store.Session(context.Background()); err != nil {
		t.Fatal(err)
	}
	return u
}

func (u *upkeep) cut()   { u.driver.Cut() }
func (u *upkeep) quiet() { u.driver.on.Store(true) }
func (u *upkeep) end()   { u.driver.on.Store(false); u.driver.Heal() }

// TestTTLTable holds the table of TTLs to what a Store does: its margin, its
// window, its pace, and what outages it survives when they begin at the worst
// moment, which is when a renewal is due.
func TestTTLTable(t *testing.T) {
	rows := table(t, "TTL", "Margin", "Window", "Renewed every", "Outage survived, refusing", "Outage survived, silent")
	if len(rows) < 5 {
		t.Fatalf("%d rows", len(rows))
	}
	for _, row := range rows {
		t.Run(row[0], func(t *testing.T) {
			var d [6]time.Duration
			for i, cell := range row {
				var err error
				if d[i], err = time.ParseDuration(cell); err != nil {
					t.Fatal(err)
				}
			}
			ttl, margin, window, every, refusing, silent := d[0], d[1], d[2], d[3], d[4], d[5]
			if want := (window * 29 / 48).Truncate(time.Millisecond); refusing != want {
				t.Errorf("refusing: %v, the arithmetic says %v", refusing, want)
			}
			if want := (window * 17 / 48).Truncate(time.Millisecond); silent != want {
				t.Errorf("silent: %v, the arithmetic says %v", silent, want)
			}
			synctest.Test(t, func(t *testing.T) {
				u := keep(t, memory.NewServer(), ttl)
				if m, w := u.session.Margin(), u.session.TrustLeft(); m != margin || w != window {
					t.Errorf("margin %v and window %v, want %v and %v", m, w, margin, window)
				}
				began := time.Now()
				for range 3 {
					<-u.renewed
				}
				if got := time.Since(began) / 3; got != every {
					t.Errorf("renewed every %v, want %v", got, every)
				}
			})
			for range 20 { // pauses are drawn at random
				outage(t, ttl, refusing, (*upkeep).cut, true)
				outage(t, ttl, silent, (*upkeep).quiet, true)
				outage(t, ttl, window*2/3+time.Millisecond, (*upkeep).cut, false)
			}
		})
	}
}

// outage begins an outage at the instant at which a renewal is due.
func outage(t *testing.T, ttl, length time.Duration, begin func(*upkeep), survived bool) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		u := keep(t, memory.NewServer(), ttl)
		<-u.renewed
		window := ttl - u.session.Margin()
		time.Sleep(window/3 - 1)
		begin(u)
		time.Sleep(1 + length)
		u.end()
		time.Sleep(window)
		if u.session.Valid() != survived || (len(u.gone) == 0) != survived {
			t.Errorf("TTL %v, an outage of %v: survived %v, want %v", ttl, length, u.session.Valid(), survived)
		}
	})
}
