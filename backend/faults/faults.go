package faults

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/quorate/quorate/backend/driver"
)

// Kind is a kind of call to the driver.
type Kind int

// The kinds of call. Renew and Revoke are those of leases.
const (
	Read Kind = iota
	Commit
	Watch
	Grant
	Renew
	Revoke
	kinds
)

// Fault is what happens to one call; the zero Fault is none. The parts are
// taken in the order of the fields.
type Fault struct {
	// Delay is how long the call is on its way to the store.
	Delay time.Duration

	// Refuse fails the call with ErrUnavailable; the store never sees it.
	Refuse bool

	// LandLater, of a commit, makes the caller give up at once with
	// ErrIndeterminate, and the commit reach the store so much later.
	LandLater time.Duration

	// Hollow, of a renewal, has it answered though it does not hold: the store
	// does not prolong the lease. As a driver should, the wrapper notices, and
	// reports ErrNotCounted.
	Hollow bool

	// Believed, with Hollow, makes the wrapper report success instead: a bug
	// that no driver may have, to show what it would do.
	Believed bool

	// ReplyDelay is how long the reply is on its way.
	ReplyDelay time.Duration

	// LoseReply lets the call take effect, but the caller is not told: a commit
	// fails with ErrIndeterminate, any other call with ErrUnavailable.
	LoseReply bool
}

// Driver is a driver that fails as it is told to.
type Driver struct {
	inner   driver.Driver
	life    context.Context
	end     context.CancelFunc
	running driver.Running // what continues after its caller has left

	mu      sync.Mutex
	rules   []*Rule
	chaos   *chaos
	network chan struct{} // closed when the partition ends; nil when there is none
	cut     chan struct{} // closed to cut the watches
	extra   time.Duration // of ExpireLate
	leases  map[string]*lease
	stats   [kinds]uint64
}

// Wrap returns d with faults to come. The wrapper owns d.
func Wrap(d driver.Driver) *Driver {
	w := &Driver{inner: d, cut: make(chan struct{}), leases: make(map[string]*lease)}
	w.life, w.end = context.WithCancel(context.Background())
	return w
}

// Rule is a fault that waits for its call.
type Rule struct {
	kind  Kind
	match func(driver.Txn) bool
	fault Fault
	hit   chan struct{}
}

// Hit is closed when the fault has found its call.
func (r *Rule) Hit() <-chan struct{} { return r.hit }

// Next makes the next call of a kind that no earlier rule waits for fail.
func (d *Driver) Next(kind Kind, fault Fault) *Rule {
	return d.add(&Rule{kind: kind, fault: fault})
}

// NextCommit makes the next commit that match accepts fail.
func (d *Driver) NextCommit(match func(driver.Txn) bool, fault Fault) *Rule {
	return d.add(&Rule{kind: Commit, match: match, fault: fault})
}

func (d *Driver) add(r *Rule) *Rule {
	r.hit = make(chan struct{})
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rules = append(d.rules, r)
	return r
}

// Partition cuts the driver off, or ends that: while it lasts calls wait, and
// those whose context ends meanwhile never reach the store. Watches fall
// silent, and fail when it ends.
func (d *Driver) Partition(on bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case on && d.network == nil:
		d.network = make(chan struct{})
	case !on && d.network != nil:
		close(d.network)
		d.network = nil
		d.cutWatches()
	}
}

// CutWatches fails the watches that are on.
func (d *Driver) CutWatches() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cutWatches()
}

func (d *Driver) cutWatches() {
	close(d.cut)
	d.cut = make(chan struct{})
}

// Calls returns how many calls of a kind were made so far.
func (d *Driver) Calls(kind Kind) uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stats[kind]
}

// begin counts a call and returns the fault that is due to it.
func (d *Driver) begin(kind Kind, txn driver.Txn) Fault {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stats[kind]++
	for i, r := range d.rules {
		if r.kind == kind && (r.match == nil || r.match(txn)) {
			d.rules = append(d.rules[:i:i], d.rules[i+1:]...)
			close(r.hit)
			return r.fault
		}
	}
	if d.chaos != nil {
		return d.chaos.fault(kind)
	}
	return Fault{}
}

// send takes a call to the store, or returns why it never got there.
func (d *Driver) send(ctx context.Context, f Fault) error {
	err := d.wait(ctx, f.Delay)
	if err == nil && f.Refuse {
		err = errRefused
	}
	if err != nil {
		return fmt.Errorf("%w: not sent: %w", driver.ErrUnavailable, err)
	}
	return nil
}

// reply takes the reply to the caller, or returns why it never got there.
func (d *Driver) reply(ctx context.Context, f Fault) error {
	if err := d.wait(ctx, f.ReplyDelay); err != nil {
		return err
	}
	if f.LoseReply {
		return errLost
	}
	return nil
}

// wait is the way through the network.
func (d *Driver) wait(ctx context.Context, delay time.Duration) error {
	if delay > 0 {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	d.mu.Lock()
	network := d.network
	d.mu.Unlock()
	if network != nil {
		select {
		case <-network:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

var (
	errRefused = errors.New("refused by a fault")
	errLost    = errors.New("the reply was lost by a fault")
)
