package backend

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/quorate/quorate/backend/driver"
)

// Store is one process's access to a coordination store, whichever it is. An
// adapter makes it (etcd.New, consul.New, zookeeper.Open, memory.New); the
// primitives take it. One Store serves any number of primitives over one
// session; two TTLs need two Stores.
//
// Making a Store does no I/O, so a process starts whether its store is up or
// not. All methods may be called concurrently. A method's context bounds that
// call, and Options.CallTimeout does, whichever is shorter.
//
// Users of the primitives need Close, and Put, Update and Get for data of their
// own. The other methods are what the primitives are built of.
type Store struct {
	driver driver.Driver
	opts   Options
	prefix string

	// life ends, with the cause ErrClosed, when Close begins.
	life context.Context
	end  context.CancelCauseFunc

	calls      driver.Running // the driver's calls under way
	background driver.Running // goroutines of watches and orphans
	sessions   sessionManager
	watches    watches
	orphans    orphans
	// served: the store has done what it was asked, ever: the credential is good.
	served atomic.Bool
	// pacer spaces the calls of a driver that does not space its requests itself.
	pacer *driver.Pacer

	closing  atomic.Bool
	closed   chan struct{} // closed when Close is done
	closeErr error
}

// New returns a Store over a driver. An adapter's own New is short for this;
// call it directly to use a driver with options of its own, or one that is
// wrapped, as package faults does. The Store owns the driver from then on.
// Options that make no sense, and a nil driver, are ErrInvalid.
func New(d driver.Driver, options *Options) (*Store, error) {
	if d == nil {
		return nil, fmt.Errorf("%w: the driver is nil", ErrInvalid)
	}
	opts, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	if timed, ok := d.(driver.Timed); ok {
		if err := timed.CheckTiming(opts.TTL, opts.margin(opts.TTL)); err != nil {
			return nil, fmt.Errorf("Options.Margin: %w", err)
		}
	}
	s := &Store{driver: d, opts: opts, prefix: opts.Namespace + "/", closed: make(chan struct{})}
	s.life, s.end = context.WithCancelCause(context.Background())
	s.sessions.init(s)
	s.watches.init(s)
	s.orphans.init(s)
	if paced, ok := d.(driver.Paced); ok {
		paced.Pacer().Notify(s.reportPace)
	} else {
		s.pacer = new(driver.Pacer)
		s.pacer.Notify(s.reportPace)
	}
	return s, nil
}

// TTL returns Options.TTL. A session's own may be longer: Session.TTL.
func (s *Store) TTL() time.Duration { return s.opts.TTL }

// Logger returns the logger of the Store's options, never nil.
func (s *Store) Logger() *slog.Logger { return s.opts.Logger }

// Namespace returns the directory that the Store's keys lie in.
func (s *Store) Namespace() string { return s.opts.Namespace }

// Close ends the session and releases the Store's resources. The contexts of
// all ownerships end first, with the cause ErrClosed. When the code under them
// has stopped, the session is revoked, so that other processes notice at once.
// If code does not stop in time, its keys stay until the TTL has passed: no
// other process starts what may still run here.
//
// It returns within Options.CloseTimeout, on a dead store too; the error then
// says what could not be done. Calls under way and later ones end with
// ErrClosed, even if their own context has ended too. A commit under way that
// was sent also wraps ErrIndeterminate. A second Close waits for the first and
// returns the same.
func (s *Store) Close() error {
	// Not a sync.Once: its waiters block on a mutex, and in a testing/synctest
	// bubble that keeps time from passing.
	if s.closing.CompareAndSwap(false, true) {
		defer close(s.closed)
		s.closeErr = s.close()
		return s.closeErr
	}
	<-s.closed
	return s.closeErr
}

func (s *Store) close() error {
	s.end(ErrClosed)
	ctx, cancel := context.WithTimeout(context.Background(), s.opts.CloseTimeout)
	defer cancel()
	// The driver's own Close gets a part of the time even when the session
	// cannot be revoked, or a call does not return: it is what frees goroutines
	// and connections.
	revoke, cancelRevoke := context.WithTimeout(ctx, s.opts.CloseTimeout*3/4)
	defer cancelRevoke()
	err := s.sessions.close(revoke)
	_ = s.background.Close(revoke) // what keeps it is a call
	if stuck := s.calls.Close(revoke); stuck != nil {
		err = errors.Join(err, fmt.Errorf("close: calls of the driver did not return: %w", stuck))
	}
	if driverErr := s.driver.Close(ctx); driverErr != nil {
		err = errors.Join(err, fmt.Errorf("close driver: %w", driverErr))
	}
	return err
}

// during makes one call of the driver. Once Close has closed the driver it
// makes none, and returns ErrClosed.
func (s *Store) during(call func() error) error {
	if !s.calls.Enter() {
		return ErrClosed
	}
	defer s.calls.Leave()
	return call()
}
