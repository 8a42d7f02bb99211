package route

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/partition"
)

// DefaultWait is the default of Options.Wait, and of the transports' Wait.
const DefaultWait = 5 * time.Second

// ErrMisdirected: this process does not run the slot with the ticket's token. The
// request was not executed.
var ErrMisdirected = errors.New("the slot is not run here with this token")

// Options are the options of a Gate; nil and zero fields mean the defaults.
type Options struct {
	// Wait is how long a request waits if its ticket is newer than the slot that
	// this process runs (default 5 s). Negative: not at all.
	Wait time.Duration
}

// Gate admits requests for the slots that this process runs. Its methods may be
// called concurrently.
type Gate struct {
	name string
	wait time.Duration

	mu    sync.Mutex // guards desks and what they point to
	desks map[int]*desk
}

// desk is what a Gate knows of a slot.
type desk struct {
	present *tenure       // nil if the slot is not run here
	last    uint64        // the token of the present tenure, or else of the last
	changed chan struct{} // closed when present is another
}

// tenure is one time that the slot is run here.
type tenure struct {
	slot     *partition.Slot
	leaving  <-chan struct{}
	requests sync.WaitGroup // those admitted
}

// NewGate returns a Gate for the partition called name. It does no I/O. A name
// that no partition can have is backend.ErrInvalid.
func NewGate(name string, options *Options) (*Gate, error) {
	if _, err := backend.Path(backend.KindPartition, name); err != nil {
		return nil, fmt.Errorf("route: %w", err)
	}
	g := &Gate{name: name, wait: DefaultWait, desks: make(map[int]*desk)}
	if options != nil && options.Wait != 0 {
		g.wait = options.Wait
	}
	return g, nil
}

// Serve is a body for Partition.Run: it admits requests for slot until ctx ends,
// and returns when all of them have returned. Call it at the end of a body of
// your own if the slot has to be prepared first; requests wait meanwhile.
// It returns nil.
func (g *Gate) Serve(ctx context.Context, slot *partition.Slot) error {
	t := &tenure{slot: slot, leaving: ctx.Done()}
	g.mu.Lock()
	g.desk(slot.Number()).set(t, slot.Token())
	g.mu.Unlock()
	<-ctx.Done()
	g.mu.Lock()
	g.desk(slot.Number()).set(nil, slot.Token())
	g.mu.Unlock()
	t.requests.Wait() // nobody is admitted any more
	return nil
}

// desk returns the desk of a slot; g.mu is held.
func (g *Gate) desk(k int) *desk {
	d := g.desks[k]
	if d == nil {
		d = &desk{changed: make(chan struct{})}
		g.desks[k] = d
	}
	return d
}

// set changes the tenure. After a restore of the store the token may be lower than
// the last.
func (d *desk) set(t *tenure, token uint64) {
	d.present, d.last = t, token
	close(d.changed)
	d.changed = make(chan struct{})
}

// Enter admits a request if this process runs the ticket's slot with its token.
// If the ticket is newer, Enter waits for the slot for at most Options.Wait.
//
// The context that it returns descends from ctx, and ends when the slot is no
// longer this process's, with a cause that wraps partition.ErrLost. Slot and
// Leaving take it. Call leave when the request has returned: the slot cannot
// move before.
//
// Errors: ErrMisdirected, or the cause of ctx's end. The request must not be
// executed then.
func (g *Gate) Enter(ctx context.Context, ticket Ticket) (admitted context.Context, leave func(), err error) {
	if ticket.Partition != g.name {
		return nil, nil, fmt.Errorf("route: %w: a ticket of partition %q, not of %q", ErrMisdirected, ticket.Partition, g.name)
	}
	var late <-chan time.Time
	for {
		t, changed := g.try(ticket)
		if t != nil {
			admitted, leave = t.enter(ctx)
			return admitted, leave, nil
		}
		if late == nil {
			timer := time.NewTimer(max(g.wait, 0))
			defer timer.Stop()
			late = timer.C
		}
		if changed != nil {
			select {
			case <-changed:
				continue
			case <-late:
			case <-ctx.Done():
				return nil, nil, fmt.Errorf("route: %w", context.Cause(ctx))
			}
		}
		return nil, nil, fmt.Errorf("route: %w: slot %d, token %d", ErrMisdirected, ticket.Slot, ticket.Token)
	}
}

// try counts a request in if it is to be admitted. Otherwise it returns the
// channel to wait for, or nil if waiting is in vain.
func (g *Gate) try(ticket Ticket) (*tenure, <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	d := g.desk(ticket.Slot)
	switch {
	case ticket.Token > d.last:
		return nil, d.changed
	case ticket.Token < d.last || d.present == nil || !d.present.slot.Valid():
		return nil, nil
	}
	d.present.requests.Add(1)
	return d.present, nil
}

// enter returns the context of a request that was counted in.
func (t *tenure) enter(ctx context.Context) (admitted context.Context, leave func()) {
	held := t.slot.Drain()
	admitted, cancel := context.WithCancelCause(context.WithValue(ctx, tenureKey{}, t))
	unbind := context.AfterFunc(held, func() { cancel(context.Cause(held)) })
	return admitted, sync.OnceFunc(func() {
		unbind()
		cancel(nil)
		t.requests.Done()
	})
}
