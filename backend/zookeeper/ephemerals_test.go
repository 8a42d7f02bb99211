package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
)

// TestTooManyEphemerals: a session is refused more ephemeral keys than the
// servers can end it with, and counts those that others have deleted no more.
func TestTooManyEphemerals(t *testing.T) {
	f := startFake(t)
	d := f.open(t, nil)
	ctx := within(t, 20*time.Second)
	granted, err := d.Grant(ctx, 4*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	l := d.leases[granted.ID()]
	key := func(i int) string { return fmt.Sprintf("%s%06d", strings.Repeat("k", 400), i) }
	create := func(i int) error {
		_, err := d.Commit(ctx, driver.Txn{Lease: l.id, Ops: []driver.Op{driver.CreateEphemeral(key(i), nil)}})
		return err
	}
	each := ephemeralBytes(nodePath(key(0)))
	fit := maxEphemeralBytes / each
	gone := make(map[string]bool)
	f.set(func() {
		f.answer = func(op int32, body []byte) (int32, []byte, reaction) {
			if op != opExists || path(body) == "/" || gone[path(body)] {
				return 0, nil, usual
			}
			return 0, fullStat(&zk.Stat{EphemeralOwner: 1}), told
		}
	})
	for i := range fit {
		if _, ok := l.ephemerals.add([]string{nodePath(key(i))}); !ok {
			t.Fatalf("the key %d of %d was refused", i, fit)
		}
		l.ephemerals.settle([]string{nodePath(key(i))}, nil, true)
	}
	err = create(fit)
	wantErr(t, "one more", err, driver.ErrTooLarge)
	if !strings.Contains(err.Error(), l.id) || !strings.Contains(err.Error(), fmt.Sprint(maxEphemeralBytes)) {
		t.Errorf("the error says neither the session nor the number: %v", err)
	}
	f.set(func() {
		for _, body := range f.bodies[opMulti] {
			if !isBarrier(opMulti, body) {
				t.Error("it was sent")
			}
		}
	})
	// Others have deleted one. The servers are not asked all the time.
	f.set(func() { gone[nodePath(key(5))] = true })
	wantErr(t, "one more, a moment later", create(fit), driver.ErrTooLarge)
	l.ephemerals.counted = time.Now().Add(-recountAfter)
	if err := create(fit); err != nil {
		t.Errorf("one more, after another is gone: %v", err)
	}
	l.ephemerals.counted = time.Now().Add(-recountAfter)
	wantErr(t, "and another", create(fit+1), driver.ErrTooLarge)
	// A key that the driver deleted itself is not counted either.
	d.deleted(driver.Txn{Ops: []driver.Op{driver.Delete(key(7), driver.Version{})}})
	if err := create(fit + 1); err != nil {
		t.Errorf("one more, after a delete: %v", err)
	}
}

// TestEphemeralsInDoubt: a commit that was refused adds nothing, one whose
// outcome is not known does.
func TestEphemeralsInDoubt(t *testing.T) {
	f := startFake(t)
	d := f.open(t, nil)
	granted, err := d.Grant(within(t, 5*time.Second), 4*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	l := d.leases[granted.ID()]
	commit := func(what reaction, code int32) error {
		f.set(func() {
			f.answer = func(op int32, body []byte) (int32, []byte, reaction) {
				switch {
				case op != opMulti || isBarrier(op, body):
					return 0, nil, usual
				case code != 0:
					return 0, append(appendInt(appendInt(appendBool(appendInt(nil, -1), false), code), code), "\xff\xff\xff\xff\x01\xff\xff\xff\xff"...), told
				}
				return 0, nil, what
			}
		})
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		_, err := d.Commit(ctx, driver.Txn{Lease: l.id, Ops: []driver.Op{driver.CreateEphemeral("a", nil)}})
		return err
	}
	if err := commit(told, -110); err != nil || l.ephemerals.size != 0 {
		t.Errorf("a commit that was refused (%v) counts for %d bytes", err, l.ephemerals.size)
	}
	if err := commit(hold, 0); !errors.Is(err, driver.ErrIndeterminate) || l.ephemerals.size != 6 {
		t.Errorf("a commit in doubt (%v) counts for %d bytes, want 6", err, l.ephemerals.size)
	}
	if err := commit(told, -110); err != nil || l.ephemerals.size != 6 {
		t.Errorf("one that is refused since the one before may have been applied (%v) leaves %d bytes, want 6", err, l.ephemerals.size)
	}
}

// TestMargin: a margin that leaves a renewal too little is refused at opening.
func TestMargin(t *testing.T) {
	for _, c := range []struct {
		tick, ttl, margin time.Duration
		ok                bool
	}{
		{2 * time.Second, 4 * time.Second, 2 * time.Second, false},
		{2 * time.Second, 4 * time.Second, time.Second + 1, false},
		{2 * time.Second, 4 * time.Second, time.Second, true},
		{2 * time.Second, 4 * time.Second, 0, true},
		{2 * time.Second, 10 * time.Second, 5 * time.Second, false},
		{2 * time.Second, 10 * time.Second, 4 * time.Second, true},
		{500 * time.Millisecond, time.Second, 0, true},
		{500 * time.Millisecond, time.Second, 500 * time.Millisecond, false},
		{2 * time.Second, time.Second, 0, true}, // which the servers raise
	} {
		d, err := NewDriver([]string{"a"}, &Options{Tick: c.tick})
		if err != nil {
			t.Fatal(err)
		}
		store, err := backend.New(d, &backend.Options{TTL: c.ttl, Margin: c.margin})
		if c.ok != (err == nil) || !c.ok && !errors.Is(err, backend.ErrInvalid) {
			t.Errorf("a tick of %v, a TTL of %v and a margin of %v: %v", c.tick, c.ttl, c.margin, err)
		}
		if store != nil {
			_ = store.Close()
		}
	}
}
