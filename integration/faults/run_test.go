package faults

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/counter"
	"github.com/quorate/quorate/integration/cluster"
	"github.com/quorate/quorate/integration/harness"
)

// run is a cluster with client processes that use everything, and the one who
// breaks it.
type run struct {
	t       *testing.T
	rig     harness.Store
	ttl     time.Duration
	slack   time.Duration // granted on top of each bound
	random  *rand.Rand
	cluster *cluster.Cluster
	admin   admin
	probe   *probe
	dir     string
	clients []*process               // that are to be there
	returns bool                     // the others may be as well
	present []*process               // that are held to be at work
	all     []*process               // that there ever were
	kind    kind                     // the fault in hand
	during  map[string]time.Duration // how soon the others were back while it lasted
	stores  []*harness.Opened        // the checker's own: on Consul one for each agent
	store   *harness.Opened          // the first

	mu      sync.Mutex
	h       *history
	cut     int64      // up to when the journals were read
	healing chan int64 // when the fault in hand began to be undone
}

// process is a client, with a network of its own.
type process struct {
	*harness.Process
	number  int
	id      string
	name    string // of the process: another when the client is started again
	net     *cluster.Proxies
	journal reader
}

func startRun(t *testing.T, store string, ttl time.Duration, clients int, seed uint64) *run {
	t.Helper()
	r := &run{
		t: t, rig: harness.Stores[store], ttl: ttl, random: rand.New(rand.NewPCG(seed, 0)),
		dir: t.TempDir(), h: newHistory(),
	}
	if store == "consul" {
		r.rig.Start = startConsul
	}
	var err error
	if r.cluster, err = r.rig.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.cluster.Close(); err != nil {
			t.Error(err)
		}
	})
	r.admin = admins[store](r.cluster)
	t.Cleanup(r.admin.close)
	r.probe = startProbe(r.admin)
	t.Cleanup(r.probe.stop)
	r.open()
	t.Cleanup(r.closeStores)
	for i := range clients {
		if _, err := r.start(fmt.Sprintf("client-%d", i), nil); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// open opens the checker's Stores.
func (r *run) open() {
	addrs := r.cluster.Addrs()
	for way := range r.admin.ways() {
		store, err := r.rig.Open(slices.Concat(addrs[way:], addrs[:way]), &backend.Options{Namespace: namespace, TTL: 10 * time.Second})
		if err != nil {
			r.t.Fatal(err)
		}
		r.stores = append(r.stores, store)
	}
	r.store = r.stores[0]
}

func (r *run) closeStores() {
	for _, store := range r.stores {
		if err := store.Close(); err != nil {
			r.t.Errorf("closing the checker's Store: %v", err)
		}
	}
	r.stores = nil
}

// start starts a client, through the network of the one that it replaces.
func (r *run) start(id string, instead *process) (*process, error) {
	n := len(r.all)
	p := &process{number: n, id: id, name: fmt.Sprintf("%s.%d", id, n)}
	p.journal.Path = filepath.Join(r.dir, "journal-"+p.name)
	if instead != nil {
		p.net = instead.net
	} else {
		var err error
		if p.net, err = cluster.NewProxies(r.cluster); err != nil {
			return nil, err
		}
		r.t.Cleanup(p.net.Close)
	}
	// A client of Consul has one agent, the first.
	addrs := p.net.Addrs()
	k := len(r.clients) % len(addrs)
	if instead != nil {
		k = slices.Index(r.clients, instead) % len(addrs)
	}
	addrs = slices.Concat(addrs[k:], addrs[:k])
	err := r.launch(p, task{Addrs: addrs, ID: id})
	if err != nil {
		return nil, err
	}
	if instead != nil {
		r.clients[slices.Index(r.clients, instead)] = p
	} else {
		r.clients = append(r.clients, p)
	}
	return p, nil
}

func (r *run) launch(p *process, tk task) (err error) {
	tk.Store, tk.TTL, tk.Out = r.rig.Name, r.ttl, p.journal.Path
	if p.Process, err = harness.StartProcess(r.dir, p.name, tk); err != nil {
		return err
	}
	r.t.Cleanup(func() {
		_ = p.Kill()
		if r.t.Failed() {
			r.t.Logf("log of %s:\n%s", p.name, p.Tail(3000))
		}
	})
	r.all = append(r.all, p)
	return nil
}

// read takes in what the processes have written since. It returns a time up to
// which all of it is known.
func (r *run) read() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cut = harness.Now()
	for _, p := range r.all {
		lines, err := p.journal.next()
		if err != nil {
			panic(err) // what cannot be read cannot be judged
		}
		for _, l := range lines {
			r.h.add(p.number, p.name, l)
		}
	}
	return r.cut
}

// heals says that the fault in hand is being undone: what comes after the
// store's next successful write is held to the bounds.
func (r *run) heals() { r.healing <- harness.Now() }

// goesBack says that the store is going back, wentBack that it has.
func (r *run) goesBack(back rewind) {
	r.mu.Lock()
	defer r.mu.Unlock()
	back.wall[0] = time.Now().UnixMilli()
	r.h.goesBack(back)
}

func (r *run) wentBack() {
	end := r.read()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.h.wentBack(end, time.Now().UnixMilli())
}

// draw returns a time up to d, at random.
func (r *run) draw(d time.Duration) time.Duration {
	return time.Duration(r.random.Int64N(int64(d) + 1))
}

// long draws a time after which no session of before is left, short one in
// which each may have got through, or not.
func (r *run) long() time.Duration  { return r.rig.Expiry(r.ttl) + r.draw(r.ttl) }
func (r *run) short() time.Duration { return r.ttl/4 + r.draw(r.ttl) }

// either draws one or the other.
func (r *run) either() time.Duration {
	if r.random.IntN(2) == 0 {
		return r.long()
	}
	return r.short()
}

// someone draws a client.
func (r *run) someone() *process { return r.clients[r.random.IntN(len(r.clients))] }

// round lets a fault happen, waits until all is well, and judges. Undoing the
// fault may take a while, in which the clients are at work already.
func (r *run) round(ctx context.Context, k kind) outcome {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	before := len(r.h.wrong)
	began := harness.Now()
	r.kind, r.during = k, nil
	r.healing = make(chan int64, 1)
	undone := make(chan error, 1)
	go func() { undone <- k.inject(ctx, r) }()
	var err error
	var healing int64
	select {
	case healing = <-r.healing:
	case err = <-undone: // it heals by itself
		healing = harness.Now()
		undone <- err
	}
	if err != nil {
		r.t.Fatalf("%s: %v", k.name, err)
	}
	back, err := r.probe.after(ctx, healing)
	if err != nil {
		r.t.Fatalf("%s: the store does not come back: %v", k.name, err)
	}
	o := outcome{away: time.Duration(back - max(r.probe.before(healing), began)), during: r.during}
	o.recovered = r.recoverAll(ctx, back)
	o.again = r.probe.again(back, back+int64(slices.Max(slices.Collect(maps.Values(o.recovered)))))
	if err := <-undone; err != nil {
		r.t.Fatalf("%s: %v", k.name, err)
	}
	// What undoing the fault did in the end may have disturbed once more.
	if back, err = r.probe.after(ctx, harness.Now()); err != nil {
		r.t.Fatalf("%s: the store does not stay: %v", k.name, err)
	}
	for part, took := range r.recoverAll(ctx, back) {
		o.recovered[part] = max(o.recovered[part], took)
	}
	o.longest = r.h.judge(r.read(), k)
	o.wrong = slices.Clone(r.h.wrong[before:])
	return o
}

// recoverAll waits until all clients are at work again, and holds them to the
// bounds.
func (r *run) recoverAll(ctx context.Context, since int64) map[string]time.Duration {
	r.t.Helper()
	recovered, err := r.recover(ctx, since, r.kind, r.clients)
	if err != nil {
		r.t.Fatalf("%s: %v", r.kind.name, err)
	}
	r.bounded(r.kind, recovered, r.bound(), since, "")
	return recovered
}

// outcome is what came of a round.
type outcome struct {
	away      time.Duration            // from the store's last write before it healed to the first after
	again     time.Duration            // after that, while the clients were not back at work
	during    map[string]time.Duration // as recovered, of those whom the fault left alone, while it lasted
	recovered map[string]time.Duration // what, after the store's first write
	longest   map[string]int64         // overlap, by what is owned
	wrong     []string
}

// finish lets all clients leave, and looks at what is left of them.
func (r *run) finish(ctx context.Context) {
	pause(r.rig.Expiry(r.ttl)) // by then the sessions of those who were killed are gone
	var ends sync.WaitGroup
	errs := make([]error, len(r.clients))
	for i, p := range r.clients {
		ends.Go(func() { errs[i] = p.End(r.ttl + 30*time.Second) })
	}
	ends.Wait()
	for i, p := range r.clients {
		if errs[i] != nil {
			r.h.complain("%s ended with %v", p.name, errs[i])
		}
	}
	// One after the other had what the last one gave up.
	r.h.judge(r.read(), kind{name: "end"})
	value, err := r.counter().Value(ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	r.h.judgeAdds(1<<61, &value)
	if err := r.judgeTally(ctx); err != nil {
		r.t.Fatal(err)
	}
	r.leftovers(ctx)
}

func (r *run) counter() *counter.Counter {
	c, err := counter.New(r.store.Store, shared, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

func (r *run) tally(ctx context.Context) (int64, error) {
	t, err := counter.NewTally(r.store.Store, shared, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return t.Total(ctx)
}

// judgeTally holds the total against what each client has flushed and given.
func (r *run) judgeTally(ctx context.Context) error {
	began := harness.Now()
	total, err := r.tally(ctx)
	if err != nil {
		return err
	}
	r.read()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.h.judgeTally(began, total)
	return nil
}

// leftovers looks for keys and sessions that should have gone with the clients.
func (r *run) leftovers(ctx context.Context) {
	r.closeStores()
	r.open()
	deadline := time.Now().Add(time.Second)
	for {
		sessions, err := r.admin.sessions(ctx)
		var keys []string
		if err == nil {
			keys, err = r.keys(ctx, slices.Concat(ephemeral...)...)
		}
		if err == nil && sessions == 0 && len(keys) == 0 {
			return
		}
		if time.Now().After(deadline) {
			r.h.complain("left behind: %d sessions, keys %q (%v)", sessions, keys, errors.Join(err))
			return
		}
		pause(200 * time.Millisecond)
	}
}
