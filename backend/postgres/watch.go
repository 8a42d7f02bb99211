package postgres

import (
	"context"

	"github.com/quorate/quorate/backend/driver"
)

// Watch waits for changes together with all other watches of the driver, and
// reads the target again after each. It ends when a read fails.
func (d *Driver) Watch(ctx context.Context, target driver.Target, changed func([]driver.Entry)) error {
	if err := driver.CheckTargets(target); err != nil {
		return err
	}
	if err := driver.NotSent(ctx); err != nil {
		return err
	}
	s := &subscriber{target: target, dirty: true, news: make(chan struct{}, 1)}
	h, err := d.subscribe(s)
	if err != nil {
		return err
	}
	defer d.unsubscribe(h, s)
	deliver := driver.Differing(changed)
	for {
		select {
		case <-ctx.Done():
			return driver.Ended(ctx, driver.ErrUnavailable)
		case <-s.news:
		}
		state, err := h.take(s)
		if err != nil {
			return driver.Ended(ctx, err)
		}
		deliver(state)
	}
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
func (d *Driver) subscribe(s *subscriber) (*hub, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.hub == nil {
		h := newHub(d)
		if !d.running.Go(h.run) || d.opts.Poll == 0 && !d.running.Go(h.listen) {
			h.stop()
			return nil, driver.ErrClosed
		}
		d.hub = h
	}
	d.hub.add(s)
	return d.hub, nil
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
