package office

import (
	"context"
	"errors"

	"github.com/quorate/quorate/backend"
)

// floorKey is the key of the floor, which all removable offices of a kind
// share. No number of a removed office is above it. It is never deleted: its
// versions must not repeat. No name is encoded so.
func floorKey(kind backend.Kind) string { return string(kind) + "/%floor" }

// basesAtOnce is how many seats get their base marks by one commit.
const basesAtOnce = 20

// ErrInUse: an office is not removed, because a process holds it or waits.
var ErrInUse = errors.New("a process holds it, or waits for it")

// floor is the floor as it was read.
type floor struct {
	entry  backend.Entry
	number uint64
}

func (f floor) unchanged() backend.Condition {
	return backend.Condition{Key: f.entry.Key, Version: f.entry.Version}
}

// readFloor reads the floor. If there is none it creates it, and its caller
// reads everything again.
func (o *Office) readFloor(ctx context.Context) (f floor, ok bool, err error) {
	read, err := o.store.Read(ctx, backend.Key(o.floor))
	if err != nil {
		return floor{}, false, err
	}
	if len(read[0]) == 0 {
		_, err := o.commit(ctx, backend.Txn{Ops: []backend.Op{backend.Create(o.floor, encode(floorDocument{}))}})
		return floor{}, false, err
	}
	f.entry = read[0][0]
	var doc floorDocument
	if err := decode(f.entry, &doc); err != nil {
		return floor{}, false, err
	}
	f.number = doc.Number
	return f, true, nil
}

// unchanged is the condition that the number of seats is the same.
func (l *limitKey) unchanged() []backend.Condition {
	if !l.exists {
		return nil
	}
	return []backend.Condition{{Key: l.entry.Key, Version: l.entry.Version}}
}

// touchLimit puts the limit as it is. A removal names its version.
func (o *Office) touchLimit(v *view) backend.Op {
	if !v.limit.exists {
		return backend.Create(o.keys.limit, encode(limitDocument{Number: max(o.spec.Seats, 1)}))
	}
	return backend.Put(o.keys.limit, v.limit.entry.Value, v.limit.entry.Version)
}

// createLimit begins to use a name: it creates the limit, and with it the base
// marks of the first seats. They are above the floor.
func (o *Office) createLimit(ctx context.Context, session *backend.Session, v *view, seats int) error {
	f, ok, err := o.readFloor(ctx)
	if err != nil || !ok {
		return err
	}
	seats = max(seats, 1)
	txn := backend.Txn{
		Unchanged: []backend.Condition{f.unchanged()},
		Ops:       []backend.Op{backend.Create(o.keys.limit, encode(limitDocument{Number: seats}))},
	}
	for at := range min(seats, basesAtOnce) {
		if at >= len(v.seats) || len(v.seats[at].marks) == 0 {
			number := max(f.number, o.highestSeen(at).Number, 1)
			txn.Ops = append(txn.Ops, o.newMark(at, number, o.markValue(session)))
		}
	}
	_, err = o.commit(ctx, txn)
	return err
}

// Resize sets the number of seats. No seat with that number or a higher one is
// taken after it; those that are held stay until their holders end. Seats are
// numbered from 0.
func (o *Office) Resize(ctx context.Context, seats int) error {
	return o.settleLimit(ctx, "resize", func(ctx context.Context, r *round) (done bool, err error) {
		if r.limit.exists && r.limit.number == seats {
			return true, nil
		}
		if !r.limit.exists {
			session, err := o.store.Session(ctx)
			if err != nil {
				return false, err
			}
			return false, o.createLimit(ctx, session, &r.view, seats)
		}
		_, err = o.commit(ctx, backend.Txn{Ops: []backend.Op{
			backend.Put(o.keys.limit, encode(limitDocument{Number: seats}), r.limit.entry.Version),
		}})
		return false, err
	})
}

// Remove deletes all keys of an office that nobody holds or waits for; else it
// returns ErrInUse. Numbers do not repeat if the name is used again.
func (o *Office) Remove(ctx context.Context) error {
	return o.settleLimit(ctx, "remove", func(ctx context.Context, r *round) (done bool, err error) {
		if len(r.queue) > 0 {
			return false, ErrInUse
		}
		left := 0
		for i := range r.seats {
			if r.seats[i].leader.exists {
				return false, ErrInUse
			}
			left += len(r.seats[i].marks)
		}
		if left == 0 && !r.limit.exists {
			return true, nil
		}
		return false, o.removeMarks(ctx, &r.view, left)
	})
}

// removeMarks deletes marks and raises the floor as high as they are, by one
// commit. The last such commit deletes the limit.
func (o *Office) removeMarks(ctx context.Context, v *view, left int) error {
	f, ok, err := o.readFloor(ctx)
	if err != nil || !ok {
		return err
	}
	const room = backend.MaxOps - 2
	high := f.number
	var ops []backend.Op
	for i := range v.seats {
		for _, m := range v.seats[i].marks {
			if len(ops) < room {
				ops = append(ops, backend.Delete(m.entry.Key, m.entry.Version))
				high = max(high, m.Number)
			}
		}
	}
	switch {
	case !v.limit.exists && left > 0, left > room:
		ops = append(ops, o.touchLimit(v))
	case v.limit.exists:
		ops = append(ops, backend.Delete(o.keys.limit, v.limit.entry.Version))
	}
	ops = append(ops, backend.Put(o.floor, encode(floorDocument{Number: high}), f.entry.Version))
	_, err = o.commit(ctx, backend.Txn{Ops: ops})
	return err
}

// settleLimit reads and acts until the state is as wanted: also after a commit
// that was refused, or whose outcome is unknown.
func (o *Office) settleLimit(ctx context.Context, operation backend.Operation, act func(context.Context, *round) (done bool, err error)) error {
	var refused error
	err := o.store.Retry(ctx, o.Subject(), operation, func(ctx context.Context) error {
		for {
			r, err := o.read(ctx)
			if err != nil {
				return err
			}
			done, err := act(ctx, r)
			switch {
			case errors.Is(err, ErrInUse):
				refused = err
				return nil
			case errors.Is(err, backend.ErrIndeterminate) && ctx.Err() == nil:
				continue
			case err != nil || done:
				return err
			}
		}
	})
	if err == nil {
		err = refused
	}
	if err != nil {
		return o.wrap(err)
	}
	return nil
}
