package lock

import (
	"context"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/internal/office"
)

// Mutex is a lock that one holder at a time has, in all processes. It is not
// reentrant: a second Lock waits for the first to be given back, also in the
// same goroutine and by the same Mutex. It does not need to be closed. Its
// methods may be called concurrently.
type Mutex struct{ office *office.Office }

// NewMutex returns a Mutex. It does no I/O. Arguments that make no sense are
// backend.ErrInvalid or backend.ErrTooLarge; the name is any text of 1 to 100
// bytes, see backend.Path.
func NewMutex(store *backend.Store, name string, options *Options) (*Mutex, error) {
	o, err := newOffice(store, backend.Subject{Kind: backend.KindMutex, Name: name}, 0, options)
	if err != nil {
		return nil, err
	}
	return &Mutex{o}, nil
}

// Lock waits for the mutex and takes it: first come, first served. It waits
// through losses of the session and outages of the store, until ctx ends. The
// context does not bound the lock.
//
// After an error no key of this call is left in the store. If ctx ended, the
// error wraps its cause. If the store does not answer within two seconds, the
// keys are deleted in the background, until the session ends and they go with
// it. Other errors: backend.ErrDenied, ErrClosed.
func (m *Mutex) Lock(ctx context.Context) (*Held, error) { return take(ctx, m.office.Campaign) }

// TryLock takes the mutex if nobody holds it or waits for it. Otherwise the
// error is ErrBusy. It never waits for another holder, and never has a place in
// the queue. If the outcome of its commit is unknown, it first makes sure that
// the commit cannot be applied later. While the store is unavailable it waits
// until ctx ends. Other errors: as of Lock.
func (m *Mutex) TryLock(ctx context.Context) (*Held, error) { return take(ctx, m.office.Try) }

// Do takes the mutex as Lock does, calls fn, and gives the mutex back when fn has
// returned. The context given to fn ends when the lock does, with the cause, and
// when ctx does; fn has to return then, and Do always waits for that. A function
// that does not return is reported in the log and the trace.
//
//	fn returned                  Do
//	while the lock was held      gives it back, returns fn's error
//	after ctx ended              the same
//	after the lock was lost      returns ErrLost with the cause and fn's error
//	by a panic                   gives it back, the panic continues
//
// Other errors: as of Lock; backend.ErrInvalid for a nil fn.
func (m *Mutex) Do(ctx context.Context, fn func(context.Context, *Held) error) error {
	return do(ctx, m.office, fn)
}

// Remove deletes all keys of the mutex. If a process holds it or waits for it
// the error is ErrInUse, and nothing is deleted. It may be called while other
// processes use the mutex: either they come first, or they begin to use the name
// anew. Tokens of the name do not repeat. Other errors: backend.ErrDenied,
// ErrFormat, ErrClosed. While the store is unavailable it waits until ctx ends.
func (m *Mutex) Remove(ctx context.Context) error { return m.office.Remove(ctx) }
