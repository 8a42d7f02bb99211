package electiontest

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quorate/quorate/backend/driver"
)

// spy counts the calls to a driver and keeps its leases.
type spy struct {
	driver.Driver
	reads, commits, watches, grants, renewals atomic.Int64
	watching                                  atomic.Int64 // watches that last

	mu     sync.Mutex
	leases []driver.Lease
}

// calls returns how many calls there were of any kind.
func (s *spy) calls() int64 {
	return s.reads.Load() + s.commits.Load() + s.watches.Load() + s.grants.Load() + s.renewals.Load()
}

func (s *spy) Read(ctx context.Context, targets ...driver.Target) ([][]driver.Entry, error) {
	s.reads.Add(1)
	return s.Driver.Read(ctx, targets...)
}

func (s *spy) Commit(ctx context.Context, txn driver.Txn) (driver.Result, error) {
	s.commits.Add(1)
	return s.Driver.Commit(ctx, txn)
}

func (s *spy) Watch(ctx context.Context, target driver.Target, changed func([]driver.Entry)) error {
	s.watches.Add(1)
	s.watching.Add(1)
	defer s.watching.Add(-1)
	return s.Driver.Watch(ctx, target, changed)
}

func (s *spy) Grant(ctx context.Context, ttl time.Duration) (driver.Lease, error) {
	s.grants.Add(1)
	lease, err := s.Driver.Grant(ctx, ttl)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leases = append(s.leases, lease)
	return spiedLease{lease, s}, nil
}

// lease returns the lease granted last.
func (s *spy) lease() driver.Lease {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leases[len(s.leases)-1]
}

type spiedLease struct {
	driver.Lease
	spy *spy
}

func (l spiedLease) Renew(ctx context.Context) (time.Duration, error) {
	l.spy.renewals.Add(1)
	return l.Lease.Renew(ctx)
}
