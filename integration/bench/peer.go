package bench

import (
	"context"
	"time"

	"github.com/quorate/quorate/election"
	"github.com/quorate/quorate/integration/harness"
)

// peer is a process that uses a store without Quorate: bare calls, and the
// recipes that come with the store's client.
type peer interface {
	// put is a bare commit: a small value, no condition.
	put(ctx context.Context, key string) error
	// increment adds one to a counter as the client's users do.
	increment(ctx context.Context, key string) error
	// watch returns a channel that says when a key has changed, from now until
	// ctx ends.
	watch(ctx context.Context, key string) (<-chan time.Time, error)
	// candidate returns one that waits for a name, under a session of its own
	// or that of the process.
	candidate(name string, alone bool) (candidate, error)
	// mutex is candidate with the client's mutex. permit is so with a semaphore,
	// nil if the client has none.
	mutex(name string, alone bool) (candidate, error)
	permit(name string, alone bool) (candidate, error)
	// present registers the process under a directory and watches that, as
	// far as the client comes with it.
	present(ctx context.Context, dir, id string) error
	close()
}

// candidate is one that takes and gives up something that one has at a time.
type candidate interface {
	take(ctx context.Context) error
	give(ctx context.Context) error
}

// openPeer opens a peer of a store; ttl is its sessions'.
func openPeer(store string, addrs []string, ttl time.Duration) (peer, error) {
	switch store {
	case "etcd":
		return openEtcd(addrs, ttl)
	case "consul":
		return openConsul(addrs, ttl)
	case "postgres":
		return openPostgres(addrs, ttl)
	default:
		return openZooKeeper(addrs, ttl)
	}
}

// recipe names what Quorate is held against.
var recipe = map[string]struct{ election, mutex, semaphore, counter, presence string }{
	"etcd":      {"concurrency.Election", "concurrency.Mutex", "none", "concurrency.STM", "lease, put, watch"},
	"consul":    {"api.Lock, no lock-delay", "the same", "api.Semaphore", "KV get and CAS", "session, acquire, blocking query"},
	"zookeeper": {"zk.Lock", "zk.Lock", "none", "Get and Set", "ephemeral node, ChildrenW"},
	"postgres":  {"pg_advisory_lock", "the same", "none", "UPDATE n = n + 1", "a row with a heartbeat, LISTEN"},
}

// notify says that something changed, without waiting.
func notify(changed chan<- time.Time) {
	select {
	case changed <- time.Now():
	default:
	}
}

// ourCandidate is one of Quorate's.
type ourCandidate struct {
	election *election.Election
	lead     *election.Leadership
}

func newOurs(store *harness.Opened, name string) (candidate, error) {
	e, err := election.New(store.Store, name, nil)
	return &ourCandidate{election: e}, err
}

func (c *ourCandidate) take(ctx context.Context) (err error) {
	c.lead, err = c.election.Campaign(ctx)
	return err
}

func (c *ourCandidate) give(ctx context.Context) error { return c.lead.Resign(ctx) }
