package counter

import (
	"fmt"
	"math"
)

// operation is one call of Add or CompareAndSet. The Counter's mutex guards
// it; the caller reads value, accepted and err once settled is closed.
type operation struct {
	compare   bool
	delta     int64 // of an add
	old, next int64 // of a compare and set

	settled chan struct{}
	done    bool // settled is closed, or nobody waits for it
	taken   bool // it is in the batch
	out     bool // nobody waits for it, and it was said not to be applied

	// The outcome on the base that the batch is made for. It is final once
	// settled is closed.
	accepted bool
	value    int64
	err      error
}

// try says what op does to value, which is the value after it.
func (op *operation) try(value, low, high int64) int64 {
	op.accepted, op.err = false, nil
	switch {
	case op.out:
	case op.compare:
		if op.accepted = value == op.old; op.accepted {
			value = op.next
		}
	case op.delta > 0 && value > math.MaxInt64-op.delta, op.delta < 0 && value < math.MinInt64-op.delta:
		op.err = fmt.Errorf("%w: %d and %d overflow", ErrOutOfRange, value, op.delta)
	case value+op.delta < low, value+op.delta > high:
		op.err = fmt.Errorf("%w: %d and %d are not in %d to %d", ErrOutOfRange, value, op.delta, low, high)
	default:
		op.accepted = true
		value += op.delta
	}
	op.value = value
	return value
}

// settle hands the outcome to the caller, if it still waits.
func (op *operation) settle() {
	if !op.done {
		op.done = true
		close(op.settled)
	}
}
