package bench

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"
)

type zooPeer struct{ conn *zk.Conn }

type quietZoo struct{}

func (quietZoo) Printf(string, ...any) {}

func openZooKeeper(addrs []string, ttl time.Duration) (peer, error) {
	conn, events, err := zk.Connect(addrs, ttl, zk.WithLogger(quietZoo{}))
	if err != nil {
		return nil, err
	}
	go func() {
		for range events { // ends with the connection
		}
	}()
	return &zooPeer{conn}, nil
}

func path(key string) string { return "/" + strings.TrimPrefix(key, "/") }

// create makes a node, and those above it.
func (p *zooPeer) create(key string, value []byte) error {
	for i := 1; i < len(key); i++ {
		if key[i] != '/' {
			continue
		}
		if _, err := p.conn.Create(key[:i], nil, 0, zk.WorldACL(zk.PermAll)); err != nil && !errors.Is(err, zk.ErrNodeExists) {
			return err
		}
	}
	_, err := p.conn.Create(key, value, 0, zk.WorldACL(zk.PermAll))
	if errors.Is(err, zk.ErrNodeExists) {
		return nil
	}
	return err
}

func (p *zooPeer) put(_ context.Context, key string) error {
	_, err := p.conn.Set(path(key), []byte(small), -1)
	if errors.Is(err, zk.ErrNoNode) {
		return p.create(path(key), []byte(small))
	}
	return err
}

func (p *zooPeer) increment(ctx context.Context, key string) error {
	for ctx.Err() == nil {
		value, stat, err := p.conn.Get(path(key))
		if errors.Is(err, zk.ErrNoNode) {
			if err := p.create(path(key), []byte("0")); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(string(value))
		if err != nil {
			return fmt.Errorf("the counter: %w", err)
		}
		if _, err = p.conn.Set(path(key), []byte(strconv.Itoa(n+1)), stat.Version); !errors.Is(err, zk.ErrBadVersion) {
			return err
		}
	}
	return ctx.Err()
}

func (p *zooPeer) watch(ctx context.Context, key string) (<-chan time.Time, error) {
	_, stat, fired, err := p.conn.ExistsW(path(key))
	if err != nil {
		return nil, err
	}
	changed := make(chan time.Time, 16)
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-fired:
			}
			notify(changed)
			before := stat
			if _, stat, fired, err = p.conn.ExistsW(path(key)); err != nil {
				return
			}
			// One that came before the watch was set again.
			if before != nil && stat != nil && stat.Version > before.Version+1 {
				notify(changed)
			}
		}
	}()
	return changed, nil
}

func (p *zooPeer) candidate(name string, _ bool) (candidate, error) {
	return zooCandidate{zk.NewLock(p.conn, "/stock/"+name, zk.WorldACL(zk.PermAll))}, nil
}

type zooCandidate struct{ lock *zk.Lock }

func (c zooCandidate) take(context.Context) error { return c.lock.Lock() }
func (c zooCandidate) give(context.Context) error { return c.lock.Unlock() }

func (p *zooPeer) mutex(name string, alone bool) (candidate, error) { return p.candidate(name, alone) }
func (p *zooPeer) permit(string, bool) (candidate, error)           { return nil, nil }

func (p *zooPeer) present(_ context.Context, dir, id string) error {
	if err := p.create(path(dir), nil); err != nil {
		return err
	}
	if _, err := p.conn.Create(path(dir)+"/"+id, []byte(small), zk.FlagEphemeral, zk.WorldACL(zk.PermAll)); err != nil {
		return err
	}
	go func() {
		for {
			_, _, fired, err := p.conn.ChildrenW(path(dir))
			if errors.Is(err, zk.ErrClosing) {
				return
			}
			if err == nil {
				<-fired // the client sets it again when it reconnects
			} else {
				<-time.After(time.Second)
			}
		}
	}()
	return nil
}

func (p *zooPeer) close() { p.conn.Close() }
