package partition

import (
	"context"
	"errors"
	"fmt"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/membership"
)

// Run makes reg's member one of those that share the slots. It calls body, in a
// goroutine of its own, for each slot that the member owns. No other member
// runs the slot in that time.
//
// The context given to body has the values of ctx. It ends with a cause:
// ErrMoved when another member gets the slot, ErrLost when the slot can no
// longer be relied on, or ctx's cause when Run ends. The body must return then.
// The next owner waits for it as long as the session lasts; use Slot.Drain for
// work that takes a while. A body that runs for longer than
// Options.DrainTimeout is reported, and its claim kept. With
// Options.EndOnDrainTimeout Run ends for it. A body that returns earlier is
// started again, see Options.Restarts. A panic in it is not recovered.
//
// Run continues through losses of the session and outages of the store, as reg
// does. When ctx ends it plans the slots without this member, unless
// Options.Grace is set, and gives the store two seconds for that. Then the
// bodies' contexts end, and each slot is released as its body returns. When Run
// returns, all bodies have returned and all claims are released or expired. If
// the store is unavailable, Run waits for the session to end: a TTL at most. It
// returns ctx's cause.
//
// With Options.EndOnDrainTimeout it returns ErrDrainTimeout as soon as all
// other bodies have returned, whatever its reason to end. The late bodies still
// run, and the process should end. A further Run, under another registration,
// does not run their slots before they have returned.
//
// Other errors: the cause of the end of reg.Context, ErrRunning, and
// backend.ErrInvalid, also if the other members have other Options; ErrFormat,
// ErrDenied, ErrClosed. To hand the slots over, end ctx first, and call Leave
// after Run has returned.
func (p *Partition) Run(ctx context.Context, reg *membership.Registration, body func(context.Context, *Slot) error) error {
	err := p.check(reg, body)
	if err == nil {
		if err = p.begin(reg); err == nil {
			err = p.run(ctx, reg, body)
			p.finish(reg)
		}
	}
	return fmt.Errorf("partition %q: %w", p.name, err)
}

func (p *Partition) check(reg *membership.Registration, body func(context.Context, *Slot) error) error {
	switch {
	case reg == nil:
		return fmt.Errorf("%w: the registration is nil", backend.ErrInvalid)
	case reg.Group() != p.group:
		return fmt.Errorf("%w: the registration is of another Group", backend.ErrInvalid)
	case body == nil:
		return fmt.Errorf("%w: the body is nil", backend.ErrInvalid)
	}
	return nil
}

func (p *Partition) begin(reg *membership.Registration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running[reg] {
		return ErrRunning
	}
	p.running[reg] = true
	return nil
}

func (p *Partition) finish(reg *membership.Registration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.running, reg)
}

// run is one member after the other, each with a registration of its own.
func (p *Partition) run(ctx context.Context, reg *membership.Registration, body func(context.Context, *Slot) error) error {
	if err := p.group.WaitSynced(ctx); err != nil {
		return ended(ctx, err)
	}
	for {
		entry, err := p.enter(ctx, reg)
		if err != nil {
			return ended(ctx, err)
		}
		err = p.checkKey(entry)
		if err == nil {
			err = newMember(ctx, p, entry, body).serve(ctx)
		}
		if err != nil {
			return ended(ctx, err)
		}
	}
}

// ended returns why ctx ended, if it has and all bodies were joined, and else
// err.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil && !errors.Is(err, ErrDrainTimeout) {
		return context.Cause(ctx)
	}
	return err
}

// enter waits for a registration that was never used here: a claims key is
// never created twice.
func (p *Partition) enter(ctx context.Context, reg *membership.Registration) (*membership.Entry, error) {
	entry, err := reg.Entry(ctx)
	for err == nil && !p.use(reg, entry.Registration) {
		entry, err = entry.Replace(ctx)
	}
	return entry, err
}

// use reports whether a registration is used for the first time.
func (p *Partition) use(reg *membership.Registration, registration string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	last, known := p.entered[reg]
	if last == registration {
		return false
	}
	if !known {
		context.AfterFunc(reg.Context(), func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			delete(p.entered, reg)
		})
	}
	p.entered[reg] = registration
	return true
}

func (p *Partition) checkKey(entry *membership.Entry) error {
	if p.opts.Strict > 0 && entry.Session.TTL() > p.opts.Strict {
		return fmt.Errorf("%w: Options.Strict is %v, less than the session's TTL of %v", backend.ErrInvalid, p.opts.Strict, entry.Session.TTL())
	}
	if err := p.store.CheckPath(p.keys.claimsOf(entry.Registration)); err != nil {
		return fmt.Errorf("the member's ID with the partition's name: %w", err)
	}
	return nil
}

// isOver reports whether err ends a member because of its registration, and
// Run goes on with another.
func isOver(err error) bool {
	return errors.Is(err, errGone) || errors.Is(err, errForeign) || errors.Is(err, backend.ErrSessionLost)
}
