package drivertest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/quorate/quorate/backend/driver"
)

// readBy makes a bug that replaces Read by a change of what it returns.
func readBy(f func(entries []driver.Entry) []driver.Entry) func() hooks {
	return func() hooks {
		return hooks{read: func(b *broken, ctx context.Context, targets []driver.Target) ([][]driver.Entry, error) {
			all, err := b.Driver.Read(ctx, targets...)
			for i := range all {
				all[i] = f(all[i])
			}
			return all, err
		}}
	}
}

// each changes every entry.
func each(f func(e *driver.Entry)) func() hooks {
	return readBy(func(entries []driver.Entry) []driver.Entry {
		for i := range entries {
			f(&entries[i])
		}
		return entries
	})
}

// cache remembers what was read last.
type cache struct {
	mu  sync.Mutex
	all map[string][][]driver.Entry
}

func (c *cache) swap(targets []driver.Target, now [][]driver.Entry) (before [][]driver.Entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all == nil {
		c.all = map[string][][]driver.Entry{}
	}
	key := fmt.Sprint(targets)
	before = c.all[key]
	if now != nil {
		c.all[key] = now
	}
	var copied [][]driver.Entry
	for _, entries := range before {
		entries = slices.Clone(entries)
		for i := range entries {
			entries[i].Value = slices.Clone(entries[i].Value)
		}
		copied = append(copied, entries)
	}
	return copied
}

func deep(all [][]driver.Entry) [][]driver.Entry {
	var c cache
	c.swap(nil, all)
	return c.swap(nil, nil)
}

var readBugs = map[string]bug{
	"read of a replica that lags": {func() hooks {
		var c cache
		return hooks{read: func(b *broken, ctx context.Context, targets []driver.Target) ([][]driver.Entry, error) {
			all, err := b.Driver.Read(ctx, targets...)
			if err != nil {
				return nil, err
			}
			if before := c.swap(targets, deep(all)); before != nil {
				return before, nil
			}
			return all, nil
		}}
	}, "C01-reads/other-drivers-see-a-commit C05-order/modified"},
	"read without a quorum": {func() hooks {
		var c cache
		return hooks{read: func(b *broken, ctx context.Context, targets []driver.Target) ([][]driver.Entry, error) {
			short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
			defer cancel()
			all, err := b.Driver.Read(short, targets...)
			if err == nil {
				c.swap(targets, deep(all))
				return all, nil
			}
			if before := c.swap(targets, nil); before != nil && errors.Is(err, context.DeadlineExceeded) {
				return before, nil
			}
			return nil, err
		}}
	}, "C01-reads/deposed-server"},
	"targets read at the same time": {func() hooks {
		return hooks{read: func(b *broken, ctx context.Context, targets []driver.Target) ([][]driver.Entry, error) {
			all := make([][]driver.Entry, len(targets))
			for i := range slices.Backward(targets) {
				one, err := b.Driver.Read(ctx, targets[i])
				if err != nil {
					return nil, err
				}
				all[i] = one[0]
				time.Sleep(2 * time.Millisecond)
			}
			return all, nil
		}}
	}, "C01-reads/targets-in-order"},
	"absent key is an error": {func() hooks {
		return hooks{read: func(b *broken, ctx context.Context, targets []driver.Target) ([][]driver.Entry, error) {
			all, err := b.Driver.Read(ctx, targets...)
			for i := range all {
				if len(all[i]) == 0 && !targets[i].Dir {
					return nil, errors.New("no such node")
				}
			}
			return all, err
		}}
	}, "C01-reads/absent"},
	"absent key is an empty entry": {func() hooks {
		return hooks{read: func(b *broken, ctx context.Context, targets []driver.Target) ([][]driver.Entry, error) {
			all, err := b.Driver.Read(ctx, targets...)
			for i := range all {
				if len(all[i]) == 0 && !targets[i].Dir {
					all[i] = []driver.Entry{{Key: targets[i].Path}}
				}
			}
			return all, err
		}}
	}, "C01-reads/absent C03-refusal/blind-delete"},
	"Created is a counter of the key":      {each(func(e *driver.Entry) { e.Created = 1 }), "C05-order/created"},
	"Created is Modified":                  {each(func(e *driver.Entry) { e.Created = e.Modified }), "C05-order/created"},
	"Modified is a counter of the key":     {each(func(e *driver.Entry) { e.Modified = e.Version.Number + 1 }), "C05-order/modified"},
	"owner is not read":                    {each(func(e *driver.Entry) { e.Lease = "" }), "C06-leases/granted C13-ownership/put-keeps-the-lease"},
	"everything has an owner":              {each(func(e *driver.Entry) { e.Lease = "lease-1" }), "C13-ownership/put-gives-no-lease"},
	"version of the store, not of the key": {each(func(e *driver.Entry) { e.Version.Number = e.Modified }), "C03-refusal/versions-returned C12-versions/reconnect"},
}
