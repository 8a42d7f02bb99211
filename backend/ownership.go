package backend

import (
	"sync/atomic"
	"time"
)

// OwnershipTrace reports one ownership to the Store's Trace. Its methods may be
// called concurrently.
type OwnershipTrace struct {
	trace *Trace
	owned Ownership
	ended atomic.Bool
}

// TraceOwnership reports that this process begins to own something. Call End on
// the result when the ownership ends, or it stays counted. The slot is 0 for a
// subject that has no slots.
func (s *Store) TraceOwnership(of Subject, slot int, token uint64) *OwnershipTrace {
	o := &OwnershipTrace{
		trace: s.opts.Trace,
		owned: Ownership{Kind: of.Kind, Name: of.Name, Slot: slot, Token: token},
	}
	if f := o.trace.OwnershipBegan; f != nil {
		f(o.owned)
	}
	return o
}

// TraceJobRan reports that a job has returned.
func (s *Store) TraceJobRan(e JobRan) {
	if f := s.opts.Trace.JobRan; f != nil {
		f(e)
	}
}

// End reports that the ownership has ended, why, and what its body returned,
// where there was one. Only the first call reports.
func (o *OwnershipTrace) End(cause, body error) {
	if o.ended.Swap(true) {
		return
	}
	if f := o.trace.OwnershipEnded; f != nil {
		ended := o.owned
		ended.Cause, ended.Body = cause, body
		f(ended)
	}
}

// Overran reports that the body has not returned, although its context ended
// this long ago with this cause.
func (o *OwnershipTrace) Overran(cause error, ago time.Duration) {
	if f := o.trace.BodyOverran; f != nil {
		owned := o.owned
		owned.Cause = cause
		f(BodyOverran{Ownership: owned, For: ago})
	}
}
