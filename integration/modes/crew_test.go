// Package modes is the five ways in which ZooKeeper failed at Pinterest, each a
// test on real clusters of every store: what each primitive does meanwhile, and
// how soon it is back at work. docs/failure-modes.md is its table.
package modes

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/counter"
	"github.com/quorate/quorate/election"
	"github.com/quorate/quorate/integration/cluster"
	"github.com/quorate/quorate/integration/harness"
	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/partition"
	"github.com/quorate/quorate/restart"
)

const (
	ttl   = 3 * time.Second
	slots = 6
	crews = 3 // workers in each
	// grace is for how long a view holds those who vanish together.
	grace = 2 * ttl
	// hears is how long a notification takes at most, on a busy machine.
	hears = 2 * time.Second
)

// The clusters of the package, one per store, each started when a test first
// asks for it.
var clusters = map[string]*shared{"etcd": {}, "consul": {}, "zookeeper": {}, "postgres": {}}

type shared struct {
	once    sync.Once
	cluster *cluster.Cluster
	err     error
}

func (s *shared) start(store harness.Store) (*cluster.Cluster, error) {
	s.once.Do(func() { s.cluster, s.err = store.Start() })
	return s.cluster, s.err
}

var primitives = []string{"election", "counter", "membership", "partition", "checkpoint"}

// mode runs a test on all stores, with a crew at work on each.
func mode(t *testing.T, test func(t *testing.T, c *crew)) {
	harness.EachStore(t, func(t *testing.T, store harness.Store) {
		servers, err := clusters[store.Name].start(store)
		if err != nil {
			t.Fatal(err)
		}
		test(t, newCrew(t, store, servers))
	})
}

// crew is some workers that each use all primitives, with a Store and a network
// of their own. What they do is noted, on the clock of this process.
type crew struct {
	t         *testing.T
	store     harness.Store
	cluster   *cluster.Cluster
	namespace string
	workers   []*worker
	others    int // members that are no workers

	mu      sync.Mutex
	offices owned
	slots   [slots]owned
	added   int64     // adds acknowledged
	doubt   int64     // adds that may have been applied
	saved   uint64    // the highest number that was acknowledged
	epoch   int       // counts restores, before each of which saved goes back
	savedAt time.Time // when the last acknowledged save began
}

// worker is one of a crew.
type worker struct {
	id    string
	net   *cluster.Proxies
	store *harness.Opened
	group *membership.Group
	reg   *membership.Registration
	stop  context.CancelFunc
	work  sync.WaitGroup

	// With the crew's mutex held.
	addedAt  time.Time // when the last acknowledged add began
	sessions int       // granted so far
	lost     int
}

// owned is what has one owner at a time.
type owned struct{ spans []*span }

type span struct {
	by         *worker
	token      uint64
	start, end time.Time // end is zero while it lasts
}

// now returns who owns it now.
func (o *owned) now() (all []*span) {
	for _, sp := range o.spans {
		if sp.end.IsZero() {
			all = append(all, sp)
		}
	}
	return all
}

func newCrew(t *testing.T, store harness.Store, servers *cluster.Cluster) *crew {
	namespace, _, _ := strings.Cut(t.Name(), "/")
	c := &crew{t: t, store: store, cluster: servers, namespace: namespace}
	t.Cleanup(c.end)
	for i := range crews {
		c.start(fmt.Sprintf("w%d", i))
	}
	c.atWork(time.Now(), 30*time.Second)
	return c
}

func (c *crew) open(w *worker) {
	var err error
	if w.net, err = cluster.NewProxies(c.cluster); err != nil {
		c.t.Fatal(err)
	}
	addrs := w.net.Addrs()
	i := len(c.workers) % len(addrs) // of Consul a client knows one server
	addrs = append(slices.Clone(addrs[i:]), addrs[:i]...)
	w.store, err = c.store.Open(addrs, &backend.Options{Namespace: c.namespace, TTL: ttl, Trace: &backend.Trace{
		SessionGranted: func(backend.SessionGranted) { c.note(func() { w.sessions++ }) },
		SessionLost:    func(backend.SessionLost) { c.note(func() { w.lost++ }) },
	}})
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *crew) note(what func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	what()
}

// start starts a worker, and what it does.
func (c *crew) start(id string) *worker {
	c.t.Helper()
	w := &worker{id: id}
	c.open(w)
	var ctx context.Context
	ctx, w.stop = context.WithCancel(context.Background())
	c.workers = append(c.workers, w)
	var err error
	must := func() {
		c.t.Helper()
		if err != nil {
			c.t.Fatal(err)
		}
	}
	w.group, err = membership.New(w.store.Store, "group", &membership.Options{GracePeriod: grace})
	must()
	part, err := partition.New(w.group, "work", &partition.Options{Slots: slots, Settle: 200 * time.Millisecond})
	must()
	count, err := counter.New(w.store.Store, "count", nil)
	must()
	office, err := election.New(w.store.Store, "office", &election.Options{ID: id})
	must()
	progress, err := restart.NewCheckpoint[uint64](w.store.Store, "progress", nil)
	must()
	joining, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	w.reg, err = w.group.Join(joining, membership.Member{ID: id})
	must()
	w.work.Go(func() {
		c.ends(ctx, w, "slots", part.Run(ctx, w.reg, func(ctx context.Context, s *partition.Slot) error { return c.run(ctx, w, s) }))
	})
	w.work.Go(func() {
		c.ends(ctx, w, "election", office.Run(ctx, func(ctx context.Context, lead *election.Leadership) error {
			return c.lead(ctx, w, lead, progress)
		}))
	})
	w.work.Go(func() { c.count(ctx, w, count) })
	return w
}

func (c *crew) ends(ctx context.Context, w *worker, what string, err error) {
	if ctx.Err() == nil {
		c.t.Errorf("the %s of %s ended: %v", what, w.id, err)
	}
}

// lead leads, and saves ever higher numbers under its guard.
func (c *crew) lead(ctx context.Context, w *worker, lead *election.Leadership, progress *restart.Checkpoint[uint64]) error {
	sp := &span{by: w, token: lead.Term(), start: time.Now()}
	c.note(func() { c.offices.spans = append(c.offices.spans, sp) })
	defer c.note(func() { sp.end = time.Now() })
	for ctx.Err() == nil {
		var floor uint64
		var epoch int
		c.note(func() { floor, epoch = c.saved, c.epoch })
		n, _, err := progress.Claim(ctx, lead.Guard())
		if err != nil {
			pause(ctx)
			continue
		}
		c.note(func() {
			if n < floor && epoch == c.epoch {
				c.t.Errorf("%s claimed %d after %d was acknowledged", w.id, n, floor)
			}
		})
		for pause(ctx) {
			n++
			began := time.Now()
			c.note(func() { epoch = c.epoch })
			err := progress.Save(ctx, n)
			if err == nil {
				c.note(func() {
					if c.savedAt = began; epoch == c.epoch {
						c.saved = max(c.saved, n)
					}
				})
			} else if errors.Is(err, backend.ErrFenced) {
				break
			}
		}
	}
	return nil
}

// run runs a slot.
func (c *crew) run(ctx context.Context, w *worker, slot *partition.Slot) error {
	sp := &span{by: w, token: slot.Token(), start: time.Now()}
	o := &c.slots[slot.Number()]
	c.note(func() { o.spans = append(o.spans, sp) })
	<-ctx.Done()
	c.note(func() { sp.end = time.Now() })
	return nil
}

// count counts, one by one.
func (c *crew) count(ctx context.Context, w *worker, count *counter.Counter) {
	for pause(ctx) {
		began := time.Now()
		_, err := count.Add(ctx, 1)
		c.note(func() {
			switch {
			case err == nil:
				c.added++
				w.addedAt = began
			case errors.Is(err, backend.ErrIndeterminate):
				c.doubt++
			case ctx.Err() == nil:
				c.t.Errorf("Add of %s: %v", w.id, err)
			}
		})
	}
}

// pause lets the store breathe between two writes, and reports whether to go on.
func pause(ctx context.Context) bool {
	timer := time.NewTimer(100 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// end ends the crew: it leaves in order.
func (c *crew) end() {
	var all sync.WaitGroup
	for _, w := range c.workers {
		all.Go(func() {
			defer w.net.Close()
			w.net.HealReset()
			w.stop()
			w.work.Wait()
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			if w.reg != nil {
				if err := w.reg.Leave(ctx); err != nil && !c.t.Failed() {
					c.t.Errorf("Leave of %s: %v", w.id, err)
				}
			}
			if err := w.store.Close(); err != nil && !c.t.Failed() {
				c.t.Errorf("Close of %s: %v", w.id, err)
			}
		})
	}
	all.Wait()
}
