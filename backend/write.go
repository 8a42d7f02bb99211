package backend

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Put stores value under key, over whatever is there, if every guard holds.
//
//	err := store.Put(ctx, "reports/latest", report, lead.Guard())
//
// The key is one or more components of letters, digits and "-._~%", joined by
// slashes. The Store puts its namespace in front. The first component is not a
// Kind of this library, such as "election". Read the key with Get.
//
// A nil error means that at one instant of the call the key had the value and
// all guards held. Put costs one read and one commit. A commit whose reply was
// lost is settled by another read. All of it takes Options.CallTimeout at most.
//
// Errors: ErrFenced if an ownership is over; ErrUnavailable, ErrTooLarge,
// ErrInvalid, ErrDenied, ErrClosed: nothing was stored, and nothing will be. An
// error that also wraps ErrIndeterminate means that the value may be stored, now
// or later. It is never stored over a later change of the key, and never once a
// guard is void. The former does not hold if somebody deletes the key meanwhile.
func (s *Store) Put(ctx context.Context, key string, value []byte, guards ...Guard) error {
	w := write{store: s, key: key, guards: guards, repeatable: true}
	err := w.run(ctx, func([]byte, bool) ([]byte, error) { return value, nil })
	if err != nil {
		return fmt.Errorf("put %q: %w", key, err)
	}
	return nil
}

// Update replaces the value of key by what change makes of it, if every guard
// holds. Nobody else writes the key in between: change is called again with the
// present value until the commit finds the key unchanged, and may modify old. The
// flag found is false if the key is absent. An error of change ends the call, and is returned.
//
// Update is like Put in all else, with one exception. If the reply to its commit
// was lost and the key has changed since, the error is ErrIndeterminate: the
// change was made once or not at all.
func (s *Store) Update(ctx context.Context, key string, change func(old []byte, found bool) ([]byte, error), guards ...Guard) error {
	w := write{store: s, key: key, guards: guards}
	if err := w.run(ctx, change); err != nil {
		return fmt.Errorf("update %q: %w", key, err)
	}
	return nil
}

// write is one call of Put or Update.
type write struct {
	store  *Store
	key    string
	guards []Guard
	// repeatable: the key having the value is all that counts, whoever wrote it.
	repeatable bool

	doubt bool   // a commit of this call is in doubt
	base  Entry  // the key as that commit found it; no Version if it was absent
	value []byte // that it was to store
}

func (w *write) run(ctx context.Context, change func([]byte, bool) ([]byte, error)) error {
	if first, _, _ := strings.Cut(w.key, "/"); slices.Contains(kinds, Kind(first)) {
		return fmt.Errorf("%w: keys below %q belong to the library", ErrInvalid, first)
	}
	ctx, cancel := w.store.bound(ctx)
	defer cancel()
	err := w.attempts(ctx, change)
	if w.doubt && err != nil && !errors.Is(err, ErrIndeterminate) {
		err = fmt.Errorf("%w: %w", err, ErrIndeterminate)
	}
	return err
}

// attempts reads and commits until the outcome is known or ctx ends.
func (w *write) attempts(ctx context.Context, change func([]byte, bool) ([]byte, error)) error {
	for attempt := 0; ; attempt++ {
		now, found, err := w.store.Get(ctx, w.key)
		if err != nil {
			return err
		}
		if w.doubt && !w.unchanged(now, found) && !(w.repeatable && found && bytes.Equal(now.Value, w.value)) {
			return fmt.Errorf("%w: the key has changed since", ErrIndeterminate)
		}
		// A commit in doubt and the next one depend on the same state of the key,
		// so only one of them can be applied.
		if !w.doubt {
			// A copy: change may work in it, and now is compared with the result.
			if w.value, err = change(slices.Clone(now.Value), found); err != nil {
				return err
			}
		}
		w.base = now
		result, err := w.store.Commit(ctx, w.txn(now, found), w.guards...)
		switch {
		case errors.Is(err, ErrIndeterminate):
			w.doubt = true
		case err != nil:
			return err
		case result.Applied:
			return nil
		}
		pause := fullJitter(attempt, 10*time.Millisecond, time.Second)
		if pausing := w.store.pause(ctx, pause); pausing != nil {
			if err == nil {
				err = fmt.Errorf("%w: others wrote the key each time", ErrUnavailable)
			}
			return w.store.ended(ctx, err)
		}
	}
}

// txn stores the value where the key is as it was read. If it has the value
// already, that and the guards are confirmed.
func (w *write) txn(now Entry, found bool) Txn {
	switch {
	case !found:
		return Txn{Ops: []Op{Create(w.key, w.value)}}
	case bytes.Equal(now.Value, w.value):
		return Txn{Unchanged: []Condition{{Key: w.key, Version: now.Version}}}
	}
	return Txn{Ops: []Op{Put(w.key, w.value, now.Version)}}
}

// unchanged reports whether the key is as the commit in doubt found it. A new
// generation of the driver says nothing about the key.
func (w *write) unchanged(now Entry, found bool) bool {
	was := w.base
	if was.Version.IsZero() || !found {
		return was.Version.IsZero() && !found
	}
	return now.Version.Number == was.Version.Number && now.Created == was.Created && now.Modified == was.Modified &&
		bytes.Equal(now.Value, was.Value)
}
