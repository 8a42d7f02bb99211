package partition

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/quorate/quorate/backend"
)

// maxLabel is how long Options.Zone and Options.Version may be, in bytes.
const maxLabel = 100

// controlDocument is what operators ask for. Members plan with it. No safety
// depends on it: a member that has not yet read it plans as before.
type controlDocument struct {
	Cordoned    []string  `json:"cordoned,omitempty"` // IDs, in order
	FrozenUntil time.Time `json:"frozen_until,omitzero"`
}

// decodeControl reads the control document, which need not be there.
func decodeControl(entries []backend.Entry) (doc controlDocument, err error) {
	if len(entries) > 0 {
		err = decode(entries[0], &doc)
	}
	return doc, err
}

// versionOf returns the version of a key, zero if it is not there.
func versionOf(entries []backend.Entry) (v backend.Version) {
	if len(entries) > 0 {
		v = entries[0].Version
	}
	return v
}

// Cordon takes all slots from the member with this ID in an orderly way, and
// gives it none until Uncordon. The member's process need not be known here, nor
// run. The cordon is kept in the store: it outlasts restarts of the member. If
// every member is cordoned, each keeps what it has.
//
// Cordon blocks until the store has the cordon; slots move afterwards. Errors:
// backend.ErrInvalid, ErrDenied, ErrFormat, ErrClosed, and the cause of ctx.
// After a failure the cordon may hold or not; call again.
func (p *Partition) Cordon(ctx context.Context, id string) error {
	if id == "" || len(id) > maxLabel {
		return fmt.Errorf("partition %q: cordon: %w: the ID must have 1 to %d bytes", p.name, backend.ErrInvalid, maxLabel)
	}
	return p.changeControl(ctx, "cordon", func(doc *controlDocument) {
		if at, found := slices.BinarySearch(doc.Cordoned, id); !found {
			doc.Cordoned = slices.Insert(doc.Cordoned, at, id)
		}
	})
}

// Uncordon ends what Cordon did. It blocks and fails as Cordon does.
func (p *Partition) Uncordon(ctx context.Context, id string) error {
	return p.changeControl(ctx, "uncordon", func(doc *controlDocument) {
		doc.Cordoned = slices.DeleteFunc(doc.Cordoned, func(other string) bool { return other == id })
	})
}

// Freeze stops all moves that nobody's failure or end forces, until a time by
// the members' clocks. Slots of members that leave or crash still move, and
// members that join get nothing else. The zero time ends it at once. It blocks
// and fails as Cordon does.
func (p *Partition) Freeze(ctx context.Context, until time.Time) error {
	return p.changeControl(ctx, "freeze", func(doc *controlDocument) { doc.FrozenUntil = until.Round(0).UTC() })
}

// changeControl changes the control document. The change must be one that can
// be made twice: a write in doubt is made again.
func (p *Partition) changeControl(ctx context.Context, what string, change func(*controlDocument)) error {
	err := p.store.Retry(ctx, p.subject(), "change control", func(ctx context.Context) error {
		read, err := p.store.Read(ctx, backend.Key(p.keys.control))
		if err != nil {
			return err
		}
		doc, err := decodeControl(read[0])
		if err != nil {
			return err
		}
		change(&doc)
		value := encode(doc)
		op := backend.Create(p.keys.control, value)
		if len(read[0]) > 0 {
			if bytes.Equal(read[0][0].Value, value) {
				return nil
			}
			op = backend.Put(p.keys.control, value, read[0][0].Version)
		}
		result, err := p.store.Commit(ctx, backend.Txn{Ops: []backend.Op{op}})
		if err == nil && !result.Applied {
			err = fmt.Errorf("%w: another process changed it at the same time", backend.ErrUnavailable)
		}
		return err
	})
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil && !errors.Is(err, context.Cause(ctx)):
		err = context.Cause(ctx)
	}
	return fmt.Errorf("partition %q: %s: %w", p.name, what, err)
}

func checkWeight(weight int) error {
	if weight < 1 || weight > MaxWeight {
		return fmt.Errorf("%w: the weight is %d, it must be from 1 to %d", backend.ErrInvalid, weight, MaxWeight)
	}
	return nil
}

// SetWeight replaces Options.Weight while Run is running, or before it. It does
// no I/O: slots move once the member has told the others. A weight that is not
// from 1 to 1,000 is backend.ErrInvalid.
func (p *Partition) SetWeight(weight int) error {
	if err := checkWeight(weight); err != nil {
		return fmt.Errorf("partition %q: %w", p.name, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.weight = weight
	for m := range p.serving {
		m.wake()
	}
	return nil
}

func (p *Partition) weightNow() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.weight
}
