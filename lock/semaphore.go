package lock

import (
	"context"
	"fmt"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/internal/office"
)

// MaxPermits bounds the permits of a Semaphore.
const MaxPermits = office.MaxSeats

// Semaphore has permits, each with one holder at a time in all processes. The
// permits are numbered from 0, so that the number can name a worker. It does not
// need to be closed. Its methods may be called concurrently.
type Semaphore struct{ office *office.Office }

// NewSemaphore returns a Semaphore. It does no I/O. The process that first uses
// the name stores how many permits there are; from then on the stored number
// counts, and Resize changes it. Arguments that make no sense are
// backend.ErrInvalid or backend.ErrTooLarge; the number of permits is 1 to
// MaxPermits, the name any text of 1 to 100 bytes, see backend.Path.
func NewSemaphore(store *backend.Store, name string, permits int, options *Options) (*Semaphore, error) {
	of := backend.Subject{Kind: backend.KindSemaphore, Name: name}
	if err := checkPermits(of, permits); err != nil {
		return nil, err
	}
	o, err := newOffice(store, of, permits, options)
	if err != nil {
		return nil, err
	}
	return &Semaphore{o}, nil
}

func checkPermits(of backend.Subject, permits int) error {
	if permits < 1 || permits > MaxPermits {
		return fmt.Errorf("%v: %w: %d permits, 1 to %d are allowed", of, backend.ErrInvalid, permits, MaxPermits)
	}
	return nil
}

// Acquire waits for a permit and takes it: first come, first served. A free
// permit with a low number is taken before one with a higher number. All else is
// as Mutex.Lock says.
func (s *Semaphore) Acquire(ctx context.Context) (*Held, error) {
	return take(ctx, s.office.Campaign)
}

// TryAcquire takes a permit if one is free and nobody waits. Otherwise the error
// is ErrBusy. All else is as Mutex.TryLock says.
func (s *Semaphore) TryAcquire(ctx context.Context) (*Held, error) { return take(ctx, s.office.Try) }

// Do is Mutex.Do with a permit.
func (s *Semaphore) Do(ctx context.Context, fn func(context.Context, *Held) error) error {
	return do(ctx, s.office, fn)
}

// Resize sets the number of permits for all processes, also while they use the
// semaphore. After it no permit with that number or a higher one is taken. Those
// that are held stay until their holders give them back, so that until then there
// may be more holders than permits. Errors: backend.ErrInvalid for a number that
// is not from 1 to MaxPermits, ErrDenied, ErrFormat, ErrClosed. While the store is
// unavailable it waits until ctx ends.
func (s *Semaphore) Resize(ctx context.Context, permits int) error {
	if err := checkPermits(s.office.Subject(), permits); err != nil {
		return err
	}
	return s.office.Resize(ctx, permits)
}

// Remove is Mutex.Remove of a semaphore: no permit is held, and nobody waits.
// The next process that uses the name stores its own number of permits.
func (s *Semaphore) Remove(ctx context.Context) error { return s.office.Remove(ctx) }
