package bench

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/integration/cluster"
	"github.com/quorate/quorate/integration/harness"
)

// lab is what a row works with: a cluster of one store.
type lab struct {
	harness.Store
	cluster *cluster.Cluster
	scale   scale
	names   *atomic.Int64

	mu   sync.Mutex
	ends []func()
	nets []*cluster.Proxies
}

// scale says how much is measured.
type scale struct {
	pairs      int           // of calls that take milliseconds
	handovers  int           // for each number that wait
	waiting    []int         // candidates behind the holder
	herds      []int         // candidates that join at once
	crashes    int           // of leaders
	resting    []int         // elections, groups and counters in a process
	rest       time.Duration // for which requests are counted
	idle       int           // elections of which memory is measured
	load       time.Duration // of callers without a pause
	loads      int           // how often
	entries    int           // in a counter's document
	members    []int
	crowd      int // members of a group at rest
	changes    int // of a member
	slots      []int
	rebalances int
	clients    int // that storm
	storms     int
	calm       time.Duration // after a storm
}

// full is what `make bench` measures with so many rounds, and smoke what shows
// in seconds that it all works.
func full(rounds int) scale {
	return scale{
		pairs: 40 * rounds, handovers: 4 * rounds, waiting: []int{2, 16, 64, 256}, herds: []int{64, 256, 400}, crashes: rounds,
		resting: []int{1, 100, 1000}, rest: 2 * restTTL, idle: 100, load: time.Second, loads: rounds, entries: 64,
		members: []int{10, 100, 1000}, crowd: 1000, changes: 2 * rounds,
		slots: []int{128, 1024, 16384}, rebalances: max(rounds/2, 3),
		clients: 300, storms: max(rounds/2, 3), calm: 8 * time.Second,
	}
}

var smoke = scale{
	pairs: 3, handovers: 1, waiting: []int{2}, herds: []int{3}, crashes: 2, resting: []int{1, 2}, rest: 500 * time.Millisecond, idle: 2,
	load: 20 * time.Millisecond, loads: 1, entries: 3, members: []int{2}, crowd: 2, changes: 1,
	slots: []int{8}, rebalances: 1, clients: 4, storms: 1, calm: time.Second,
}

// start starts a cluster that takes as many connections of one address as
// there are clients here: all of a row run in one process.
func start(store harness.Store) (*cluster.Cluster, error) {
	switch store.Name {
	case "consul":
		return cluster.StartConsul(cluster.ConsulConfig{Config: "limits { http_max_conns_per_client = 10000 }"})
	case "zookeeper":
		return cluster.StartZooKeeper(cluster.ZooKeeperConfig{TickTime: harness.Tick, MaxClientCnxns: -1})
	case "postgres":
		return cluster.StartPostgresCluster(cluster.PostgresConfig{Schema: harness.PostgresSchema() + postgresTables, Config: "max_connections = 2000"})
	default:
		return store.Start()
	}
}

// version asks the servers.
func version(ctx context.Context, store string, c *cluster.Cluster) string {
	switch store {
	case "etcd":
		p, err := openEtcd(c.Addrs(), time.Second)
		if err != nil {
			return err.Error()
		}
		defer p.close()
		status, err := p.(*etcdPeer).client.Status(ctx, c.Addrs()[0])
		if err != nil {
			return err.Error()
		}
		return "etcd " + status.Version
	case "consul":
		p, err := openConsul(c.Addrs(), time.Second)
		if err != nil {
			return err.Error()
		}
		self, err := p.(*consulPeer).client.Agent().Self()
		if err != nil {
			return err.Error()
		}
		return fmt.Sprint("Consul ", self["Config"]["Version"])
	case "postgres":
		p, err := openPostgres(c.Addrs(), time.Second)
		if err != nil {
			return err.Error()
		}
		defer p.close()
		var number string
		if err := p.(*postgresPeer).pool.QueryRow(ctx, "SHOW server_version").Scan(&number); err != nil {
			return err.Error()
		}
		number, _, _ = strings.Cut(number, " ")
		return "PostgreSQL " + number
	default:
		answer, err := cluster.FourLetterWord(ctx, c.Nodes()[0], "srvr")
		if err != nil {
			return err.Error()
		}
		var number string
		_, _ = fmt.Sscanf(answer, "Zookeeper version: %s", &number)
		number, _, _ = strings.Cut(number, "-") // the build
		return "ZooKeeper " + number
	}
}

// atEnd has something done at the end of the row, beside all else that is.
func (l *lab) atEnd(do func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ends = append(l.ends, do)
}

// clear does what was left for the end of the row, and closes the proxies last.
func (l *lab) clear() {
	l.mu.Lock()
	ends, nets := l.ends, l.nets
	l.ends, l.nets = nil, nil
	l.mu.Unlock()
	_ = inParallel(len(ends), 64, func(i int) error {
		ends[i]()
		return nil
	})
	for _, p := range nets {
		p.Close()
	}
}

// name returns a name that nothing has had.
func (l *lab) name() string {
	return "bench-" + strconv.FormatInt(l.names.Add(1), 10)
}

// open opens a Store of ours until the end of the row.
func (l *lab) open(addrs []string, ttl time.Duration) (*harness.Opened, error) {
	store, err := l.Open(addrs, &backend.Options{TTL: ttl})
	if err == nil {
		l.atEnd(func() { _ = store.Close() })
	}
	return store, err
}

// peer opens a peer until the end of the row.
func (l *lab) peer(addrs []string, ttl time.Duration) (peer, error) {
	p, err := openPeer(l.Name, addrs, ttl)
	if err == nil {
		l.atEnd(p.close)
	}
	return p, err
}

// proxies starts proxies to the cluster until the end of the row.
func (l *lab) proxies() (*cluster.Proxies, error) {
	p, err := cluster.NewProxies(l.cluster)
	if err == nil {
		l.mu.Lock()
		l.nets = append(l.nets, p)
		l.mu.Unlock()
	}
	return p, err
}

// counted starts proxies that count the requests which pass.
func (l *lab) counted() (*cluster.Proxies, *meter, error) {
	p, err := l.proxies()
	if err != nil {
		return nil, nil, err
	}
	m := newMeter()
	p.Tap(m.tap(l.Name))
	return p, m, nil
}

// turned returns addrs, the one of that index first: Consul's clients talk to
// the first alone.
func turned(addrs []string, i int) []string {
	i %= len(addrs)
	return append(slices.Clone(addrs[i:]), addrs[:i]...)
}

// near returns the addresses for what is compared, that server's first. On
// ZooKeeper, whose clients pick one at random for good, it is that server's
// alone: a follower takes longer than the leader. Ours, the peer and the floor
// have a client each, for etcd's takes the servers in turns: one that two of
// them share could send all that one of them asks to the same.
func (l *lab) near(i int) []string {
	addrs := turned(l.cluster.Addrs(), i)
	if l.Name == "zookeeper" {
		return addrs[:1]
	}
	return addrs
}

// timed returns how long something takes, in milliseconds.
func timed(do func() error) (float64, error) {
	began := time.Now()
	err := do()
	return ms(time.Since(began)), err
}

// inParallel does n things, so many at a time, and returns the first error.
func inParallel(n, width int, do func(i int) error) error {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var first error
	free := make(chan struct{}, width)
	for i := range n {
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			if err := do(i); err != nil {
				mu.Lock()
				defer mu.Unlock()
				if first == nil {
					first = err
				}
			}
		})
	}
	wg.Wait()
	return first
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// next waits for the next of a channel.
func next[T any](ctx context.Context, c <-chan T) (T, error) {
	select {
	case v := <-c:
		return v, nil
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}

// drain empties a channel.
func drain[T any](c <-chan T) {
	for {
		select {
		case <-c:
		default:
			return
		}
	}
}

// quiet waits until no request has come for a moment, or for half a second where
// there is no such moment, and returns how many there were in all.
func quiet(ctx context.Context, m *meter) (int, error) {
	const still = 50 * time.Millisecond
	deadline := time.Now().Add(500 * time.Millisecond)
	last, since := -1, time.Now()
	for {
		n, err := m.count()
		now := time.Now()
		if n != last {
			last, since = n, now
		}
		if err != nil || now.Sub(since) >= still || now.After(deadline) {
			return n, err
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return n, err
		}
	}
}
