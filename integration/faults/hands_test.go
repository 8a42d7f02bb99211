package faults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/integration/harness"
)

// place is a key of a primitive, or a directory of such.
type place []string

// ephemeral are the places of what goes with its owner, those of a kind together.
var ephemeral = func() [][]place {
	all := [][]place{
		{{"election", plain, "tenure", "leader"}},
		{{"election", strict, "tenure", "leader"}},
		{{"election", plain, "queue", ""}},
		{{"election", strict, "queue", ""}},
		{{"partition", shared, "claims", ""}},
		{{"membership", shared, "members", ""}},
		{{"mutex", shared, "tenure", "leader"}},
		{{"mutex", shared, "queue", ""}},
		{{"semaphore", shared, "queue", ""}},
		{{"semaphore", "nodes", "queue", ""}},
	}
	var ofJobs, ofPermits, ofNodes []place
	for n := range jobs {
		ofJobs = append(ofJobs, place{"mutex", job(n), "tenure", "leader"}, place{"mutex", job(n), "queue", ""})
	}
	for n := range permits {
		ofPermits = append(ofPermits, place{"semaphore", shared, "tenure", fmt.Sprintf("%d.leader", n)})
	}
	for n := range nodes {
		ofNodes = append(ofNodes, place{"semaphore", "nodes", "tenure", fmt.Sprintf("%d.leader", n)})
	}
	return append(all, ofJobs, ofPermits, ofNodes)
}()

// target returns what to read: a directory ends with an empty component.
func (p place) target() (driver.Target, error) {
	rest := p[2:]
	dir := rest[len(rest)-1] == ""
	if dir {
		rest = rest[:len(rest)-1]
	}
	key, err := backend.Path(backend.Kind(p[0]), p[1], rest...)
	if err != nil {
		return driver.Target{}, err
	}
	return driver.Target{Path: key, Dir: dir}, nil
}

// entries reads what is at places. The marks of members that left are not
// among it: they stay for a while.
func (r *run) entries(ctx context.Context, places ...place) (all []driver.Entry, err error) {
	var targets []driver.Target
	for _, p := range places {
		target, err := p.target()
		if err != nil {
			return nil, err
		}
		targets = append(targets, target)
	}
	read, err := r.anyReads(ctx, targets)
	for _, found := range read {
		for _, e := range found {
			if !strings.HasSuffix(e.Key, "~left") {
				all = append(all, e)
			}
		}
	}
	return all, err
}

// anyReads reads through one server or another: one of them may be gone.
func (r *run) anyReads(ctx context.Context, targets []driver.Target) (read [][]driver.Entry, err error) {
	for range 3 {
		for _, store := range r.stores {
			bound, cancel := context.WithTimeout(ctx, 400*time.Millisecond)
			read, err = store.Read(bound, targets...)
			cancel()
			if err == nil || ctx.Err() != nil {
				return read, err
			}
		}
	}
	return nil, err
}

func (r *run) keys(ctx context.Context, places ...place) (keys []string, err error) {
	all, err := r.entries(ctx, places...)
	for _, e := range all {
		keys = append(keys, e.Key)
	}
	return keys, err
}

// keysDeleted deletes what an operator might, thinking it was in the way:
// everything of one place, or one key of it. Documents that stay for ever are
// not among it, except those that their primitive is proof against.
func keysDeleted(ctx context.Context, r *run) error {
	places := append([][]place{
		{{"partition", shared, "plan"}},
		{{"partition", shared, "line", ""}},
		{{"election", plain, "tenure", ""}},
		{{"election", strict, "tenure", ""}},
		{{"mutex", shared, "tenure", ""}},
	}, ephemeral...)
	var keys []string
	for len(keys) == 0 { // what is there is never nothing for long
		var err error
		if keys, err = r.keys(ctx, places[r.random.IntN(len(places))]...); err != nil {
			return err
		}
	}
	if len(keys) > 1 && r.random.IntN(2) == 0 {
		k := r.random.IntN(len(keys))
		keys = keys[k : k+1]
	}
	for _, key := range keys {
		if err := r.delete(ctx, key); err != nil {
			return err
		}
	}
	r.heals()
	return nil
}

// delete deletes a key as an operator does, whatever it holds.
func (r *run) delete(ctx context.Context, key string) error {
	for {
		_, err := r.store.Commit(ctx, driver.Txn{Ops: []driver.Op{driver.Delete(key, driver.Version{})}})
		if !errors.Is(err, backend.ErrUnavailable) && !errors.Is(err, backend.ErrIndeterminate) {
			return err
		}
	}
}

// sessionsEnded ends the session of one client, or of all.
func sessionsEnded(ctx context.Context, r *run) error {
	all, err := r.entries(ctx, place{"membership", shared, "members", ""})
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return errors.New("no members")
	}
	if r.random.IntN(2) == 0 {
		k := r.random.IntN(len(all))
		all = all[k : k+1]
	}
	for _, e := range all {
		if err := r.admin.end(ctx, e.Lease); err != nil {
			return fmt.Errorf("ending %q: %w", e.Lease, err)
		}
	}
	r.heals()
	return nil
}

// serverEmptied has a follower start on an empty disk, as a replaced machine
// does, and then be replaced as the store's documentation says.
func serverEmptied(ctx context.Context, r *run) error {
	n, err := r.cluster.NotLeader(ctx)
	if err != nil {
		return err
	}
	began := harness.Now()
	if err := errors.Join(n.Kill(), n.Wipe(), n.Launch()); err != nil {
		return err
	}
	if err := r.lasts(ctx, victims{began: began, server: n, returns: true}); err != nil {
		return err
	}
	r.heals()
	return n.Replace(ctx)
}

// serverMisconfigured has a follower start with another cluster's identity,
// or follow another server, and then with its own again.
func serverMisconfigured(ctx context.Context, r *run) error {
	n, err := r.cluster.NotLeader(ctx)
	if err != nil {
		return err
	}
	began := harness.Now()
	if err := n.Kill(); err != nil {
		return err
	}
	aside := n.DataDir() + ".aside"
	edit := func(config string) string { return config + "\ndatacenter = \"elsewhere\"\n" }
	switch r.rig.Name {
	case "etcd":
		// What is in its data directory goes before its configuration.
		if err := os.Rename(n.DataDir(), aside); err != nil {
			return err
		}
		edit = func(config string) string {
			return strings.Replace(config, "initial-cluster-token: ", "initial-cluster-token: another-", 1)
		}
	case "postgres":
		edit = func(config string) string { return config + "\nprimary_conninfo = 'host=127.0.0.1 port=1'\n" }
	case "zookeeper":
		// The identities of all servers are shifted by one, so it takes
		// another's place.
		edit = func(config string) string {
			return strings.NewReplacer("server.1=", "server.2=", "server.2=", "server.3=", "server.3=", "server.1=").Replace(config)
		}
	}
	if err := n.LaunchWrong(edit); err != nil {
		return err
	}
	if err := r.lasts(ctx, victims{began: began, server: n}); err != nil {
		return err
	}
	if n.Serves(ctx) == nil {
		return fmt.Errorf("%s serves with a wrong configuration", n.Name())
	}
	r.heals()
	if err := n.Kill(); err != nil {
		return err
	}
	if r.rig.Name == "etcd" {
		if err := errors.Join(n.Wipe(), os.Rename(aside, n.DataDir())); err != nil {
			return err
		}
	}
	if err := n.Launch(); err != nil {
		return err
	}
	return r.cluster.WaitReady(ctx)
}

// memberRemoved removes a follower from the cluster while it runs, and puts a
// new server in its place after a while.
func memberRemoved(ctx context.Context, r *run) error {
	n, err := r.cluster.NotLeader(ctx)
	if err != nil {
		return err
	}
	began := harness.Now()
	if err := n.Expel(ctx); err != nil {
		return err
	}
	if err := r.lasts(ctx, victims{began: began, server: n}); err != nil {
		return err
	}
	r.heals()
	if err := n.Kill(); err != nil {
		return err
	}
	return n.Replace(ctx)
}

// reconnectStorm has many more clients lose their connections together with
// ours: the servers are killed and started again at once.
func reconnectStorm(ctx context.Context, r *run) error {
	crowd, err := r.crowd(ctx)
	if err != nil {
		return err
	}
	if err := r.cluster.KillAll(); err != nil {
		return err
	}
	pause(r.draw(r.ttl))
	r.heals()
	if err := r.cluster.StartAll(ctx); err != nil {
		return err
	}
	if err := r.gathered(ctx, crowd, harness.Now()); err != nil {
		return fmt.Errorf("after the outage: %w", err)
	}
	return crowd.End(time.Minute)
}
