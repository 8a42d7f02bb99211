package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/consul/api"
)

type consulPeer struct {
	client    *api.Client
	transport *http.Transport
	ttl       time.Duration
	life      context.Context
	end       context.CancelFunc

	mu sync.Mutex
	id string // of the session; guarded by mu
}

func openConsul(addrs []string, ttl time.Duration) (peer, error) {
	p := &consulPeer{ttl: ttl}
	p.life, p.end = context.WithCancel(context.Background())
	// A Lock that is held has goroutines that outlive the row. After close they get
	// no connection: another server may listen at that port by then.
	var err error
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	p.transport = &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		if p.life.Err() != nil {
			return nil, p.life.Err()
		}
		return dialer.DialContext(ctx, network, addr)
	}}
	p.client, err = api.NewClient(&api.Config{Address: addrs[0], HttpClient: &http.Client{Transport: p.transport}})
	return p, err
}

func (p *consulPeer) put(ctx context.Context, key string) error {
	// Consul tells nobody of a value that was the same before.
	value := fmt.Appendf(nil, "%-*d", len(small), time.Now().UnixNano())
	_, err := p.client.KV().Put(&api.KVPair{Key: key, Value: value}, (&api.WriteOptions{}).WithContext(ctx))
	return err
}

func (p *consulPeer) increment(ctx context.Context, key string) error {
	for ctx.Err() == nil {
		// Without RequireConsistent a deposed leader may answer; the check then
		// fails, and the loop goes on.
		pair, _, err := p.client.KV().Get(key, (&api.QueryOptions{}).WithContext(ctx))
		if err != nil {
			return err
		}
		next := &api.KVPair{Key: key, Value: []byte("1")}
		if pair != nil {
			n, err := strconv.Atoi(string(pair.Value))
			if err != nil {
				return fmt.Errorf("the counter: %w", err)
			}
			next.Value, next.ModifyIndex = []byte(strconv.Itoa(n+1)), pair.ModifyIndex
		}
		applied, _, err := p.client.KV().CAS(next, (&api.WriteOptions{}).WithContext(ctx))
		if applied || err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (p *consulPeer) watch(ctx context.Context, key string) (<-chan time.Time, error) {
	_, meta, err := p.client.KV().Get(key, (&api.QueryOptions{}).WithContext(ctx))
	if err != nil {
		return nil, err
	}
	changed := make(chan time.Time, 16)
	go func() {
		index := meta.LastIndex
		for ctx.Err() == nil {
			_, meta, err := p.client.KV().Get(key, (&api.QueryOptions{WaitIndex: index, WaitTime: time.Minute}).WithContext(ctx))
			if err != nil {
				_ = pause(ctx, 100*time.Millisecond)
				continue
			}
			if meta.LastIndex != index {
				notify(changed)
			}
			index = meta.LastIndex
		}
	}()
	return changed, nil
}

func (p *consulPeer) session() (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.id != "" {
		return p.id, nil
	}
	var err error
	if p.id, _, err = p.client.Session().Create(&api.SessionEntry{TTL: p.ttl.String(), Behavior: "delete", LockDelay: time.Millisecond}, nil); err != nil {
		return "", err
	}
	go func() { _ = p.client.Session().RenewPeriodic(p.ttl.String(), p.id, nil, p.life.Done()) }()
	return p.id, nil
}

func (p *consulPeer) candidate(name string, alone bool) (candidate, error) {
	id, err := p.sessionFor(alone)
	if err != nil {
		return nil, err
	}
	lock, err := p.client.LockOpts(&api.LockOptions{Key: "stock/" + name, Session: id, SessionTTL: p.ttl.String(), LockDelay: time.Millisecond})
	return consulCandidate{lock}, err
}

// sessionFor returns the session of the process. It is empty for a candidate alone,
// which opens one of its own.
func (p *consulPeer) sessionFor(alone bool) (string, error) {
	if alone {
		return "", nil
	}
	return p.session()
}

type consulCandidate struct{ lock *api.Lock }

func (c consulCandidate) take(ctx context.Context) error {
	lost, err := c.lock.Lock(ctx.Done())
	if err == nil && lost == nil {
		return context.Cause(ctx)
	}
	return err
}

func (c consulCandidate) give(context.Context) error { return c.lock.Unlock() }

func (p *consulPeer) mutex(name string, alone bool) (candidate, error) {
	return p.candidate(name, alone)
}

func (p *consulPeer) permit(name string, alone bool) (candidate, error) {
	id, err := p.sessionFor(alone)
	if err != nil {
		return nil, err
	}
	s, err := p.client.SemaphoreOpts(&api.SemaphoreOptions{Prefix: "stock/" + name, Limit: permits, Session: id, SessionTTL: p.ttl.String()})
	return consulPermit{s}, err
}

type consulPermit struct{ semaphore *api.Semaphore }

func (c consulPermit) take(ctx context.Context) error {
	lost, err := c.semaphore.Acquire(ctx.Done())
	if err == nil && lost == nil {
		return context.Cause(ctx)
	}
	return err
}

func (c consulPermit) give(context.Context) error { return c.semaphore.Release() }

func (p *consulPeer) present(ctx context.Context, dir, id string) error {
	session, err := p.session()
	if err != nil {
		return err
	}
	pair := &api.KVPair{Key: dir + "/" + id, Value: []byte(small), Session: session}
	if held, _, err := p.client.KV().Acquire(pair, (&api.WriteOptions{}).WithContext(ctx)); err != nil || !held {
		return errors.Join(errors.New("not acquired"), err)
	}
	go func() {
		for index := uint64(0); p.life.Err() == nil; {
			_, meta, err := p.client.KV().List(dir+"/", (&api.QueryOptions{WaitIndex: index, WaitTime: 10 * time.Second}).WithContext(p.life))
			if err != nil {
				// What Consul's own plans do: a pause of five seconds, and on.
				select {
				case <-time.After(5 * time.Second):
				case <-p.life.Done():
				}
				continue
			}
			index = meta.LastIndex
		}
	}()
	return nil
}

func (p *consulPeer) close() {
	p.end()
	p.transport.CloseIdleConnections()
}
