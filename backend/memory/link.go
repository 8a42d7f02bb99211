package memory

import (
	"fmt"
	"time"

	"github.com/quorate/quorate/backend/driver"
)

// Patience is how long a driver waits for a reply when the context has no
// earlier end.
const Patience = 5 * time.Second

var (
	errDown = fmt.Errorf("%w: the store is down", driver.ErrUnavailable)
	errCut  = fmt.Errorf("%w: connection refused", driver.ErrUnavailable)
)

// link is the state of a driver's connection.
type link int

const (
	up link = iota
	cut
	silent
	muted
	deposed
)

// Cut resets the driver's connection and refuses new ones, until Heal: calls
// end with driver.ErrUnavailable, at once (commits that wait for a reply with
// driver.ErrIndeterminate), and watches fail. It begins a new generation.
func (d *Driver) Cut() { d.set(cut, errCut) }

// Silence lets nothing through in either direction, until Heal: calls wait for
// their context or for Patience. A commit then ends with
// driver.ErrIndeterminate, since its sender cannot know that it did not arrive.
func (d *Driver) Silence() { d.set(silent, nil) }

// Mute lets requests through and no reply, until Heal: what is sent takes
// effect, and calls end as under Silence.
func (d *Driver) Mute() { d.set(muted, nil) }

// Depose connects the driver, until Heal, to a server that believes to lead
// when another leads already. Calls that need a quorum wait in vain, as under
// Silence. A renewal is answered, and its answer is driver.ErrNotCounted. Reads
// need a quorum: none is stale.
func (d *Driver) Depose() { d.set(deposed, nil) }

// Heal undoes the above. Calls that still wait then end as if the connection
// had been reset; nothing that was held back arrives late. Watches under way
// read again.
func (d *Driver) Heal() { d.set(up, nil) }

func (d *Driver) set(l link, failed error) {
	d.server.mu.Lock()
	defer d.server.mu.Unlock()
	if d.link == l {
		return
	}
	if l == cut {
		d.generation.Next()
	}
	d.transition(l, failed)
}

// transition changes the state of the connection and wakes all who wait on it;
// watches end with failed unless it is nil.
func (d *Driver) transition(l link, failed error) {
	d.link = l
	close(d.change)
	d.change = make(chan struct{})
	for _, watches := range d.server.watches {
		for w := range watches {
			if w.driver != d {
				continue
			}
			if w.failed == nil {
				w.failed = failed
			}
			w.wake()
		}
	}
}
