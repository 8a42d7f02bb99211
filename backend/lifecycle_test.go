package backend_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/memory"
)

func TestTheDriverIsClosedAfterItsCalls(t *testing.T) {
	// Catches: a driver that is closed while a call of it is under way, or more
	// than once; a call that begins after that.
	bubble(t, func(t *testing.T, server *memory.Server) {
		var calls atomic.Int64
		closed := false
		call := func(takes time.Duration) (end func()) { // to return once its context has ended
			if closed {
				t.Error("a call began after the driver was closed")
			}
			calls.Add(1)
			return func() {
				time.Sleep(takes)
				calls.Add(-1)
			}
		}
		d := memory.NewDriver(server)
		d.Silence()
		s := over(t, &fake{
			Driver: d,
			read: func(ctx context.Context, targets []driver.Target) ([][]driver.Entry, error) {
				defer call(2 * time.Second)()
				return d.Read(ctx, targets...)
			},
			commit: func(ctx context.Context, txn driver.Txn) (driver.Result, error) {
				defer call(2 * time.Second)()
				return d.Commit(ctx, txn)
			},
			watch: func(ctx context.Context, target driver.Target, changed func([]driver.Entry)) error {
				defer call(time.Second)()
				return d.Watch(ctx, target, changed)
			},
			grant: func(ctx context.Context, ttl time.Duration) (driver.Lease, error) {
				defer call(time.Second)()
				return d.Grant(ctx, ttl)
			},
			close: func(context.Context) error {
				if n := calls.Load(); n != 0 || closed {
					t.Errorf("the driver is closed with %d calls under way, closed before: %v", n, closed)
				}
				closed = true
				return nil
			},
		}, nil)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := s.Read(t.Context(), backend.Key("k"))
			wantErr(t, err, backend.ErrClosed)
			if errors.Is(err, backend.ErrUnavailable) {
				t.Errorf("Read = %v, want ErrClosed alone", err)
			}
		})
		wg.Go(func() {
			_, err := s.Commit(t.Context(), backend.Txn{Ops: []backend.Op{backend.Create("k", nil)}})
			wantErr(t, err, backend.ErrClosed, backend.ErrIndeterminate)
		})
		wg.Go(func() {
			_, err := s.Session(t.Context())
			wantErr(t, err, backend.ErrClosed)
		})
		w, err := s.Watch(backend.Key("k"))
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := calls.Load(); n != 4 {
			t.Fatalf("%d calls under way, want one of each kind", n)
		}
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if !closed {
			t.Error("the driver was not closed")
		}
		wg.Wait()
		w.Close()
		for range 20 { // a select of two that are ready takes either
			_, _, err = s.Get(ended, "k")
			wantErr(t, err, backend.ErrClosed)
			_, err = s.Commit(ended, backend.Txn{Ops: []backend.Op{backend.Create("k", nil)}})
			wantErr(t, err, backend.ErrClosed)
			_, err = s.Session(ended)
			wantErr(t, err, backend.ErrClosed)
			wantErr(t, w.Next(ended), backend.ErrClosed)
			wantErr(t, s.Retry(ended, job, "run", func(context.Context) error { return backend.ErrUnavailable }), backend.ErrClosed)
		}
		noGoroutines(t)
	})
}

func TestCloseDoesNotWaitForACallThatNeverReturns(t *testing.T) {
	// Catches: a Close that hangs with a call of the driver, or that never
	// closes the driver because of it.
	for name, stuck := range map[string]func(*fake, *lease, func()){
		"read": func(f *fake, _ *lease, hang func()) {
			f.read = func(context.Context, []driver.Target) ([][]driver.Entry, error) {
				hang()
				return nil, driver.ErrUnavailable
			}
		},
		"renewal": func(_ *fake, l *lease, hang func()) {
			l.renew = func(context.Context) (time.Duration, error) {
				hang()
				return 0, driver.ErrUnavailable
			}
		},
		"revoke": func(_ *fake, l *lease, hang func()) {
			l.revoke = func(context.Context) error {
				hang()
				return nil
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, _ *memory.Server) {
				l := newLease("l", ttl)
				d := granting(l)
				release := make(chan struct{})
				stuck(d, l, func() { <-release })
				closed := false
				d.close = func(context.Context) error {
					closed = true
					return nil
				}
				s := over(t, d, &backend.Options{CloseTimeout: 4 * time.Second})
				session(t, s)
				var wg sync.WaitGroup
				if d.read != nil {
					wg.Go(func() {
						_, _, err := s.Get(t.Context(), "k")
						wantErr(t, err, backend.ErrClosed)
					})
				}
				time.Sleep(ttl / 2) // a renewal is under way
				passed := since()
				if err := s.Close(); err == nil {
					t.Error("Close says nothing of a call that does not return")
				}
				wantTime(t, "Close returned", passed(), 3*time.Second)
				if !closed {
					t.Error("the driver was not closed")
				}
				close(release)
				wg.Wait()
				noGoroutines(t)
			})
		})
	}
}

func TestACommitOfUnknownOutcomeStaysInDoubtWhenTheStoreCloses(t *testing.T) {
	// Catches: an error of no known class that becomes a plain ErrClosed, as if
	// nothing had been sent.
	bubble(t, func(t *testing.T, _ *memory.Server) {
		s := over(t, &fake{commit: func(ctx context.Context, _ driver.Txn) (driver.Result, error) {
			<-ctx.Done()
			return driver.Result{}, errors.New("of no known class")
		}}, nil)
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := s.Commit(t.Context(), backend.Txn{Ops: []backend.Op{backend.Create("k", nil)}})
			wantErr(t, err, backend.ErrClosed, backend.ErrIndeterminate)
		})
		synctest.Wait()
		_ = s.Close()
		wg.Wait()
	})
}
