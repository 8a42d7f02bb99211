package postgres

import (
	"bytes"
	"context"
	"slices"

	"github.com/quorate/quorate/backend/driver"
)

// Watch waits for changes together with all other watches of the driver, and
// reads the target again after each. It ends when a read fails.
func (d *Driver) Watch(ctx context.Context, target driver.Target, changed func([]driver.Entry)) error {
	if err := driver.CheckTargets(target); err != nil {
		return err
	}
	ctx, done, err := d.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	s := &subscriber{target: target, dirty: true, news: make(chan struct{}, 1)}
	h := d.subscribe(s)
	defer d.unsubscribe(h, s)
	var last []driver.Entry
	for first := true; ; {
		select {
		case <-ctx.Done():
			return ended(ctx, driver.ErrUnavailable)
		case <-s.news:
		}
		state, err := h.take(s)
		if err != nil {
			return ended(ctx, err)
		}
		if !first && slices.EqualFunc(last, state, same) {
			continue
		}
		first, last = false, state
		changed(clone(state))
	}
}

func same(a, b driver.Entry) bool {
	return a.Key == b.Key && a.Version == b.Version && a.Created == b.Created && a.Lease == b.Lease && bytes.Equal(a.Value, b.Value)
}

// clone returns a copy that is the receiver's, values included.
func clone(entries []driver.Entry) []driver.Entry {
	own := slices.Clone(entries)
	for i := range own {
		own[i].Value = bytes.Clone(own[i].Value)
	}
	return own
}

// subscriber is one watch. The hub's mutex guards its fields, save news.
type subscriber struct {
	target  driver.Target
	dirty   bool // to be read again
	awaited bool // a read that began after the watch did is under way, or was
	state   []driver.Entry
	err     error         // why there will be no more states
	news    chan struct{} // holds one token when state or err is new
}

func (s *subscriber) tell(state []driver.Entry, err error) {
	s.state, s.err = state, err
	select {
	case s.news <- struct{}{}:
	default:
	}
}

// subscribe adds a watch to the hub, and starts one if there is none.
func (d *Driver) subscribe(s *subscriber) *hub {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.hub == nil {
		d.hub = newHub(d)
		d.running.Go(d.hub.run)
		if d.opts.Poll == 0 {
			d.running.Go(d.hub.listen)
		}
	}
	d.hub.add(s)
	return d.hub
}

// unsubscribe removes a watch, and stops the hub with the last one.
func (d *Driver) unsubscribe(h *hub, s *subscriber) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if h.remove(s) == 0 && d.hub == h {
		d.hub = nil
		h.stop()
	}
}
