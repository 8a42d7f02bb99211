package zookeeper

import (
	"errors"
	"io"
	"net"
	"slices"
	"testing"

	"github.com/quorate/quorate/backend/driver"
)

// TestNumbersGoOn: no request of a session has the number of another one, whatever
// the connection. A server would take the outcome of one for that of the other.
func TestNumbersGoOn(t *testing.T) {
	f := startFake(t)
	d := f.open(t, nil)
	ctx := t.Context()
	lease, err := d.Grant(ctx, f.timeout)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		for range 3 {
			for _, txn := range []driver.Txn{
				{Ops: []driver.Op{driver.Create("a", nil)}},
				{Lease: lease.ID(), Ops: []driver.Op{driver.CreateEphemeral("b", nil)}},
			} {
				if _, err := d.Commit(ctx, txn); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := d.Read(ctx, driver.Key("a")); err != nil {
				t.Fatal(err)
			}
			if _, err := lease.Renew(ctx); err != nil && !errors.Is(err, driver.ErrNotCounted) {
				t.Fatal(err)
			}
		}
		common, leases := d.common.present(), d.leases[lease.ID()].reconnector.present()
		f.cut()
		<-common.net.down
		<-leases.net.down
	}
	if err := lease.Revoke(ctx); err != nil {
		t.Fatal(err)
	}
	f.set(func() {
		if len(f.numbers) != 2 {
			t.Errorf("%d sessions, want 2", len(f.numbers))
		}
		for session, numbers := range f.numbers {
			slices.Sort(numbers)
			if once := slices.Compact(slices.Clone(numbers)); len(once) != len(numbers) {
				t.Errorf("session %d: %d numbers for %d requests", session, len(once), len(numbers))
			}
		}
	})
}

// TestNumbersUsedUp: the client's request numbers never come to be the adapter's own.
// When they are used up, the next connection begins anew.
func TestNumbersUsedUp(t *testing.T) {
	n := newNumbers()
	n.used(firstNumber - 3)
	for _, last := range []int32{2, firstNumber - 1} {
		client, server := net.Pipe()
		go func() { _, _ = io.Copy(io.Discard, server) }()
		g := newGreetedConn(client, client, nil, n)
		g.greeted = true
		if _, err := g.Write(appendInt(appendInt(nil, 4), last)); err != nil {
			t.Errorf("Write of the client's number %d = %v", last, err)
		}
		if _, err := g.Write(appendInt(appendInt(nil, 4), last+1)); !errors.Is(err, errNumbersUsedUp) || g.alive() {
			t.Errorf("Write of the client's number %d = %v; want the connection given up", last+1, err)
		}
		if got := n.clients(); got != 0 {
			t.Errorf("the next connection begins after %d", got)
		}
		server.Close()
	}
	n.own = 1<<31 - 1
	if got := n.next(); got != firstNumber {
		t.Errorf("after the last of the adapter's numbers comes %d", got)
	}
}
