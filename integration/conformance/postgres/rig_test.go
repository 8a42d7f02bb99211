package postgres_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/drivertest"
	"github.com/quorate/quorate/backend/postgres"
	"github.com/quorate/quorate/integration/cluster"
	"github.com/quorate/quorate/integration/conformance"
)

const (
	postgresTTL = 2 * time.Second
	// postgresExpiry: the first call after its end finds the lease expired; a
	// server that was restarted or promoted meanwhile gave it its TTL again.
	postgresExpiry = postgresTTL + time.Second
	// standbyName is the standby's name to the primary.
	standbyName = "standby"
)

// postgresRig is PostgreSQL with the means to disturb it. The drivers connect
// with a role that may call the schema's functions and nothing else.
type postgresRig struct {
	options postgres.Options
	bouncer *cluster.PgBouncer // before the primary; nil without
	dirs    atomic.Int64

	mu      sync.Mutex // guards what follows
	servers []*cluster.Postgres
	primary int // of servers; the other is its synchronous standby
	peers   map[driver.Driver]*postgresPeer
}

// postgresPeer is a driver with a pool and a network of its own.
type postgresPeer struct {
	driver  *postgres.Driver
	pool    *pgxpool.Pool
	proxies *cluster.Proxies
}

// startPostgres starts one server.
func startPostgres(t testing.TB) *postgresRig {
	t.Helper()
	server, err := cluster.StartPostgres()
	conformance.Must(t, err)
	t.Cleanup(func() { closed(t, server) })
	r := &postgresRig{servers: []*cluster.Postgres{server}, peers: make(map[driver.Driver]*postgresPeer)}
	r.migrate(t)
	return r
}

// startPostgresPair starts a primary and a standby that its commits wait for.
func startPostgresPair(t testing.TB) *postgresRig {
	t.Helper()
	r := startPostgres(t)
	standby, err := r.servers[0].StartStandby(standbyName)
	conformance.Must(t, err)
	t.Cleanup(func() { closed(t, standby) })
	r.servers = append(r.servers, standby)
	ctx, cancel := conformance.Bounded(t)
	defer cancel()
	conformance.Must(t, r.servers[0].RequireStandby(ctx, standbyName))
	return r
}

// startPostgresBouncer starts one server behind PgBouncer in transaction mode.
func startPostgresBouncer(t testing.TB) *postgresRig {
	t.Helper()
	r := startPostgres(t)
	bouncer, err := cluster.StartPgBouncer(r.servers[0])
	conformance.Must(t, err)
	t.Cleanup(func() { closed(t, bouncer) })
	r.bouncer, r.options.Poll = bouncer, 100*time.Millisecond
	return r
}

func closed(t testing.TB, what interface{ Close() error }) {
	if err := what.Close(); err != nil {
		t.Error(err)
	}
}

// migrate makes the schema as a role that owns nothing else, and lets another
// role use it.
func (r *postgresRig) migrate(t testing.TB) {
	t.Helper()
	ctx, cancel := conformance.Bounded(t)
	defer cancel()
	r.exec(t, "CREATE ROLE owner LOGIN; CREATE ROLE app LOGIN; CREATE ROLE observer LOGIN; GRANT CREATE ON DATABASE postgres TO owner")
	pool := r.pool(t, "owner", r.servers[0].Addr())
	conformance.Must(t, postgres.Migrate(ctx, pool, &r.options))
	conformance.Must(t, postgres.Migrate(ctx, pool, &r.options)) // which finds nothing to do
	r.exec(t, `GRANT USAGE ON SCHEMA quorate TO app, observer;
		GRANT EXECUTE ON FUNCTION quorate.read, quorate.status TO app, observer;
		GRANT EXECUTE ON FUNCTION quorate.commit, quorate.acquire, quorate.renew, quorate.revoke TO app`)
}

// pool returns a pool that is closed when the test ends.
func (r *postgresRig) pool(t testing.TB, role string, addrs ...string) *pgxpool.Pool {
	t.Helper()
	config, err := pgxpool.ParseConfig(fmt.Sprintf("postgres://%s@%s/postgres?sslmode=disable&target_session_attrs=primary&connect_timeout=2&pool_max_conns=6", role, strings.Join(addrs, ",")))
	conformance.Must(t, err)
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	conformance.Must(t, err)
	t.Cleanup(pool.Close)
	return pool
}

// exec runs SQL on the primary as the superuser.
func (r *postgresRig) exec(t testing.TB, sql string, args ...any) {
	t.Helper()
	conformance.Eventually(t, "the primary", func(ctx context.Context) error { return r.leader().Exec(ctx, sql, args...) })
}

func (r *postgresRig) leader() *cluster.Postgres {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.servers[r.primary]
}

// peer opens a driver with a network of its own; it is closed when the test
// ends, unless it was closed before.
func (r *postgresRig) peer(t testing.TB) *postgresPeer { return r.peerAs(t, "app") }

func (r *postgresRig) peerAs(t testing.TB, role string) *postgresPeer {
	t.Helper()
	var addrs []string
	for _, server := range r.servers {
		addrs = append(addrs, server.Addr())
	}
	if r.bouncer != nil {
		addrs = []string{r.bouncer.Addr()}
	}
	proxies, err := cluster.NewProxiesTo(addrs...)
	conformance.Must(t, err)
	t.Cleanup(proxies.Close)
	pool := r.pool(t, role, proxies.Addrs()...)
	d, err := postgres.NewDriver(pool, &r.options)
	conformance.Must(t, err)
	p := &postgresPeer{d, pool, proxies}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.peers[d] = p
	t.Cleanup(func() {
		r.mu.Lock()
		delete(r.peers, d)
		r.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := d.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return p
}

func (r *postgresRig) of(d driver.Driver) *postgresPeer {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.peers[d]
}

// all returns the peers that are open.
func (r *postgresRig) all() []*postgresPeer {
	r.mu.Lock()
	defer r.mu.Unlock()
	var peers []*postgresPeer
	for _, p := range r.peers {
		peers = append(peers, p)
	}
	return peers
}

// dir returns a directory that no other test uses.
func (r *postgresRig) dir() string { return fmt.Sprintf("test/%d", r.dirs.Add(1)) }

// env is the environment of a conformance subtest.
func (r *postgresRig) env(testing.TB) *drivertest.Env {
	return &drivertest.Env{
		Open:     func(t testing.TB) driver.Driver { return r.peer(t).driver },
		Prefix:   r.dir(),
		TTL:      postgresTTL,
		Expiry:   postgresExpiry,
		Expire:   func(t testing.TB, lease driver.Lease) { r.expire(t, lease) },
		Cut:      func(_ testing.TB, d driver.Driver) { r.of(d).proxies.Cut() },
		Silence:  func(_ testing.TB, d driver.Driver) { r.of(d).proxies.Silence() },
		Mute:     func(t testing.TB, d driver.Driver) { r.of(d).mute(t) },
		Heal:     func(_ testing.TB, d driver.Driver) { r.of(d).proxies.HealReset() },
		Depose:   func(t testing.TB, d driver.Driver, during func()) { r.depose(t, r.of(d), during) },
		Forget:   func(t testing.TB) { r.forget(t) },
		Snapshot: func(t testing.TB) func() { return r.snapshot(t) },
	}
}

// expire ends a lease as an operator does: by deleting its row.
func (r *postgresRig) expire(t testing.TB, lease driver.Lease) {
	t.Helper()
	r.exec(t, "DELETE FROM quorate.lease WHERE id = $1", lease.ID())
}

// depose of a single server crashes it, and launches it while during runs.
//
// Of a pair it promotes the standby, while the primary goes on and the peer
// knows nobody else. All other peers find the new primary. Afterwards the old
// one follows it.
func (r *postgresRig) depose(t testing.TB, p *postgresPeer, during func()) {
	t.Helper()
	if len(r.servers) == 1 {
		conformance.Must(t, r.servers[0].Crash())
		launched := make(chan error, 1)
		go func() { launched <- r.servers[0].Launch() }()
		during()
		conformance.Must(t, <-launched)
		return
	}
	ctx, cancel := conformance.Bounded(t)
	defer cancel()
	was, is := r.primary, 1-r.primary
	p.proxies.Node(is).Cut()
	p.reach(t)
	for _, other := range r.all() {
		if other != p {
			other.proxies.Node(was).Cut()
		}
	}
	conformance.Must(t, r.servers[is].Promote(ctx))
	r.mu.Lock()
	r.primary = is
	r.mu.Unlock()
	during()
	conformance.Must(t, r.servers[was].Crash())
	r.rejoin(t, was)
	for _, peer := range r.all() {
		peer.proxies.HealReset()
	}
}

// rejoin makes a server that ended the standby that the primary waits for.
func (r *postgresRig) rejoin(t testing.TB, standby int) {
	t.Helper()
	ctx, cancel := conformance.Bounded(t)
	defer cancel()
	conformance.Must(t, r.leader().RequireStandby(ctx, ""))
	conformance.Must(t, r.servers[standby].Rejoin(r.leader(), standbyName))
	conformance.Must(t, r.leader().RequireStandby(ctx, standbyName))
}

// reach waits until the peer's driver is answered.
func (p *postgresPeer) reach(t testing.TB) {
	t.Helper()
	conformance.Eventually(t, "an answer", func(ctx context.Context) error {
		_, err := p.driver.Read(ctx, driver.Key("test/reach"))
		return err
	})
}

// mute first opens connections for calls that are made at the same time: a new
// one cannot be opened without replies.
func (p *postgresPeer) mute(t testing.TB) {
	t.Helper()
	ctx, cancel := conformance.Bounded(t)
	defer cancel()
	var open []*pgxpool.Conn
	for range 3 {
		conn, err := p.pool.Acquire(ctx)
		conformance.Must(t, err)
		open = append(open, conn)
	}
	for _, conn := range open {
		conn.Release()
	}
	p.proxies.Mute()
}

// forget ends every connection of the server's, and with them all that a
// listener had not been told.
func (r *postgresRig) forget(t testing.TB) {
	t.Helper()
	peers := r.all()
	for _, p := range peers {
		p.proxies.Cut()
	}
	r.exec(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()")
	for _, p := range peers {
		p.proxies.HealReset()
	}
}

// snapshot takes a base backup and returns how to put it back.
func (r *postgresRig) snapshot(t testing.TB) (restore func()) {
	t.Helper()
	backup, err := r.leader().Backup()
	conformance.Must(t, err)
	return func() {
		t.Helper()
		if len(r.servers) == 1 {
			conformance.Must(t, r.servers[0].Restore(backup))
			return
		}
		standby := 1 - r.primary
		conformance.Must(t, r.servers[standby].Crash())
		conformance.Must(t, r.leader().Restore(backup))
		r.rejoin(t, standby)
	}
}
