package bench

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.uber.org/zap"
)

// small is as long as a Counter's first document.
var small = strings.Repeat("x", 100)

type etcdPeer struct {
	client *clientv3.Client
	ttl    int

	mu      sync.Mutex
	session *concurrency.Session
}

func openEtcd(addrs []string, ttl time.Duration) (peer, error) {
	client, err := clientv3.New(clientv3.Config{Endpoints: addrs, Logger: zap.NewNop()})
	return &etcdPeer{client: client, ttl: max(int(ttl/time.Second), 1)}, err
}

func (p *etcdPeer) put(ctx context.Context, key string) error {
	_, err := p.client.Put(ctx, key, small)
	return err
}

func (p *etcdPeer) increment(ctx context.Context, key string) error {
	_, err := concurrency.NewSTM(p.client, func(s concurrency.STM) error {
		n, err := strconv.Atoi("0" + s.Get(key))
		s.Put(key, strconv.Itoa(n+1))
		return err
	}, concurrency.WithAbortContext(ctx))
	return err
}

func (p *etcdPeer) watch(ctx context.Context, key string) (<-chan time.Time, error) {
	events := p.client.Watch(ctx, key, clientv3.WithCreatedNotify())
	if first := <-events; first.Err() != nil {
		return nil, first.Err()
	}
	changed := make(chan time.Time, 16)
	go func() {
		for range events {
			notify(changed)
		}
	}()
	return changed, nil
}

func (p *etcdPeer) newSession() (*concurrency.Session, error) {
	return concurrency.NewSession(p.client, concurrency.WithTTL(p.ttl))
}

func (p *etcdPeer) shared() (*concurrency.Session, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.session != nil {
		return p.session, nil
	}
	var err error
	p.session, err = p.newSession()
	return p.session, err
}

func (p *etcdPeer) candidate(name string, alone bool) (candidate, error) {
	session, err := p.sessionFor(alone)
	if err != nil {
		return nil, err
	}
	return etcdCandidate{concurrency.NewElection(session, "/stock/"+name)}, nil
}

// sessionFor returns the session of the process, or one for a candidate alone: two
// of one session would be the same candidate.
func (p *etcdPeer) sessionFor(alone bool) (*concurrency.Session, error) {
	if alone {
		return p.newSession()
	}
	return p.shared()
}

type etcdCandidate struct{ *concurrency.Election }

func (c etcdCandidate) take(ctx context.Context) error { return c.Campaign(ctx, "me") }
func (c etcdCandidate) give(ctx context.Context) error { return c.Resign(ctx) }

func (p *etcdPeer) mutex(name string, alone bool) (candidate, error) {
	session, err := p.sessionFor(alone)
	if err != nil {
		return nil, err
	}
	return etcdMutex{concurrency.NewMutex(session, "/stock/"+name)}, nil
}

type etcdMutex struct{ *concurrency.Mutex }

func (c etcdMutex) take(ctx context.Context) error { return c.Lock(ctx) }
func (c etcdMutex) give(ctx context.Context) error { return c.Unlock(ctx) }

func (p *etcdPeer) permit(string, bool) (candidate, error) { return nil, nil }

func (p *etcdPeer) present(ctx context.Context, dir, id string) error {
	session, err := p.shared()
	if err != nil {
		return err
	}
	if _, err := p.client.Put(ctx, dir+"/"+id, small, clientv3.WithLease(session.Lease())); err != nil {
		return err
	}
	events := p.client.Watch(context.WithoutCancel(ctx), dir+"/", clientv3.WithPrefix())
	go func() {
		for range events { // ends with the client
		}
	}()
	return nil
}

func (p *etcdPeer) close() { _ = p.client.Close() }
