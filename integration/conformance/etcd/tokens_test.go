package etcd_test

import (
	"bufio"
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/etcd"
	"github.com/quorate/quorate/integration/cluster"
	"github.com/quorate/quorate/integration/conformance"
)

// TestEtcdAuthAtRest opens 40 Stores with user and password, a client each. At
// rest they renew and do not authenticate, and no session is lost.
func TestEtcdAuthAtRest(t *testing.T) {
	rig := startEtcd(t, cluster.EtcdConfig{
		Username: etcdRoot, Password: etcdPassword,
		Config: "bcrypt-cost: 4", // so that the clients open in no time
	})
	rig.protect(t)
	ctx, cancel := conformance.Bounded(t)
	defer cancel()
	const (
		stores = 40
		ttl    = 3 * etcdTTL // so that a busy machine renews all of them in time
	)
	var all []*backend.Store
	var sessions []*backend.Session
	for range stores {
		store := rig.writer(t, ttl)
		session, err := store.Session(ctx)
		conformance.Must(t, err)
		all, sessions = append(all, store), append(sessions, session)
	}
	before, began := rig.handled(t), time.Now()
	<-time.After(ttl + ttl/2)
	after, took := rig.handled(t), time.Since(began)
	renewals, tokens := after["LeaseKeepAlive"]-before["LeaseKeepAlive"], after["Authenticate"]-before["Authenticate"]
	t.Logf("%d Stores, %.1f s: %d renewals, %d authentications", stores, took.Seconds(), renewals, tokens)
	if least := stores * int(took/ttl); renewals < least {
		t.Errorf("%d renewals, want at least %d", renewals, least)
	}
	if tokens > 0 {
		t.Errorf("%d authentications at rest", tokens)
	}
	for i, session := range sessions {
		if all[i].LastSession() != session || !session.Valid() {
			t.Errorf("Store %d lost its session", i)
		}
	}
}

// writer opens a Store with a client of its own, which has user and password.
func (r *etcdRig) writer(t *testing.T, ttl time.Duration) *backend.Store {
	t.Helper()
	client := etcdClient(t, clientv3.Config{Endpoints: r.cluster.Addrs(), Username: "writer", Password: etcdPassword})
	store, err := etcd.New(client, &backend.Options{Namespace: etcdNamespace, TTL: ttl})
	conformance.Must(t, err)
	t.Cleanup(func() { conformance.Must(t, store.Close()) })
	return store
}

// handled is how often the servers were sent each method, in all.
func (r *etcdRig) handled(t *testing.T) map[string]int {
	t.Helper()
	calls := make(map[string]int)
	for _, node := range r.cluster.Nodes() {
		ctx, cancel := conformance.Bounded(t)
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+node.Addr()+"/metrics", nil)
		conformance.Must(t, err)
		reply, err := http.DefaultClient.Do(request)
		conformance.Must(t, err)
		lines := bufio.NewScanner(reply.Body)
		for lines.Scan() {
			name, value, _ := strings.Cut(lines.Text(), "} ")
			if !strings.HasPrefix(name, "grpc_server_started_total{") {
				continue
			}
			_, method, _ := strings.Cut(name, `grpc_method="`)
			method, _, _ = strings.Cut(method, `"`)
			count, err := strconv.ParseFloat(value, 64)
			conformance.Must(t, err)
			calls[method] += int(count)
		}
		conformance.Must(t, lines.Err())
		conformance.Must(t, reply.Body.Close())
		cancel()
	}
	return calls
}

// TestEtcdTokensGone restarts the servers, which forget all tokens. Then many
// calls of one Store are refused at once.
func TestEtcdTokensGone(t *testing.T) {
	rig := startEtcd(t, cluster.EtcdConfig{Username: etcdRoot, Password: etcdPassword})
	rig.protect(t)
	ctx, cancel := conformance.Bounded(t)
	defer cancel()
	store := rig.writer(t, etcdTTL)
	_, _, err := store.Get(ctx, "key")
	conformance.Must(t, err)
	for _, node := range rig.cluster.Nodes() {
		conformance.Must(t, node.Kill())
		conformance.Must(t, node.Start(ctx))
		rig.ready(t)
	}
	before := rig.handled(t)
	const calls = 50
	var all sync.WaitGroup
	for range calls {
		all.Go(func() {
			conformance.Eventually(t, "a read", func(ctx context.Context) error {
				_, _, err := store.Get(ctx, "key")
				return err
			})
		})
	}
	all.Wait()
	tokens := rig.handled(t)["Authenticate"] - before["Authenticate"]
	t.Logf("%d calls with a token that no server knows: %d authentications", calls, tokens)
	// The calls may see three servers that learn of the new token one after the
	// other, and the rig's own client asks, too.
	if tokens > 6 {
		t.Errorf("%d authentications for %d calls, want a few", tokens, calls)
	}
}
