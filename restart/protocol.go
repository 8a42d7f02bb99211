package restart

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/internal/document"
)

// claim is what its holder knows of the document it claimed.
type claim struct {
	token   string
	seq     uint64          // of the last save, whatever came of it
	version backend.Version // of the document as last known
	guards  []backend.Guard
	fenced  error // set for good once a save was refused
}

// stored is the document as it was read.
type stored struct {
	there   bool
	version backend.Version
	progress
}

func (c *Checkpoint[T]) read(ctx context.Context) (s stored, err error) {
	entry, found, err := c.store.Get(ctx, c.key)
	if err != nil || !found {
		return s, err
	}
	s.there, s.version = true, entry.Version
	if err := document.Decode(entry.Value, checkpointFormat, &s.progress); err != nil {
		return s, fmt.Errorf("%s: %w", c.key, err)
	}
	return s, nil
}

// claim puts a fresh token into the document, on condition that it is as read.
//
// An attempt in doubt is settled by reading; if it has not landed, the next has
// a token of its own. So a token never stands for two attempts, one of which
// was undone by a restore of the store.
func (c *Checkpoint[T]) claim(ctx context.Context, guards []backend.Guard) (value T, found bool, held *claim, err error) {
	token := "" // of the last attempt
	err = c.store.Retry(ctx, c.subject(), "claim", func(ctx context.Context) error {
		for {
			s, err := c.read(ctx)
			if err != nil {
				return err
			}
			// Before the claim: what nobody here can read is left to its owner.
			if value, err = c.opts.decode(s.Value); err != nil {
				return fmt.Errorf("%s: %w", c.key, err)
			}
			found = len(s.Value) > 0
			if token != "" && s.Token == token {
				held = &claim{token: token, version: s.version, guards: guards}
				return nil
			}
			token = rand.Text()
			data, err := encodeProgress(progress{Token: token, Value: s.Value})
			if err != nil {
				return err
			}
			op := backend.Create(c.key, data)
			if s.there {
				op = backend.Put(c.key, data, s.version)
			}
			result, err := c.store.Commit(ctx, backend.Txn{Ops: []backend.Op{op}}, guards...)
			if err != nil {
				return err
			}
			if result.Applied {
				held = &claim{token: token, version: result.Versions[0], guards: guards}
				return nil
			}
		}
	})
	return value, found, held, err
}

var errOther = errors.New("another claim stands")

// save puts the next seq and the value into the document, on condition that it
// is as last known.
//
// Refused or in doubt, it reads, as long as that takes. The own token with this
// seq: stored. The own token with an older one: not stored so far, and the same
// seq is sent again on what was read; that condition is also what keeps the
// first attempt from landing later. Anything else: somebody else has claimed.
// It is never sent again without a look, nor with another seq.
func (c *Checkpoint[T]) save(ctx context.Context, h *claim, value json.RawMessage) error {
	if h.fenced != nil {
		return h.fenced
	}
	data, err := encodeProgress(progress{Token: h.token, Seq: h.seq + 1, Value: value})
	if err != nil {
		return err
	}
	h.seq++
	known, doubt := true, false
	err = c.store.Retry(ctx, c.subject(), "save", func(ctx context.Context) error {
		for {
			if !known {
				s, err := c.read(ctx)
				switch {
				case err != nil:
					return err
				case !s.there || s.Token != h.token || s.Seq > h.seq:
					return fmt.Errorf("%w: %w", backend.ErrFenced, errOther)
				}
				h.version, known = s.version, true
				if s.Seq == h.seq {
					return nil
				}
			}
			known = false
			result, err := c.store.Commit(ctx, backend.Txn{Ops: []backend.Op{backend.Put(c.key, data, h.version)}}, h.guards...)
			doubt = doubt || errors.Is(err, backend.ErrIndeterminate)
			if err != nil {
				return err
			}
			if result.Applied {
				h.version = result.Versions[0]
				return nil
			}
		}
	})
	if errors.Is(err, backend.ErrFenced) {
		h.fenced = err
		c.store.Logger().Warn("fenced", "checkpoint", c.name, "error", err)
	}
	if doubt && err != nil && !errors.Is(err, backend.ErrIndeterminate) {
		err = fmt.Errorf("%w: %w", err, backend.ErrIndeterminate)
	}
	return err
}
