package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/quorate/quorate/backend/driver"
)

// asked counts the operations of 3.6 that a fake was sent.
func (f *fake) asked() int { return f.count(opMultiRead) + f.count(opAddWatch) }

// TestOldServer: a server from before 3.6 is asked once, on the common
// connection and before anything else, and the session outlives that. Reads and
// watches go today's way.
func TestOldServer(t *testing.T) {
	f := startFake(t)
	f.old = true
	fo := f.forest("/dir")
	fo.group("/dir", 100)
	d := f.open(t, nil)
	lease, err := d.Grant(within(t, 5*time.Second), 4*time.Second)
	if err != nil || f.asked() != 0 {
		t.Fatalf("Grant = %v; asked %d times on the lease's connection, want 0", err, f.asked())
	}
	for range 3 {
		states, err := d.Read(within(t, 5*time.Second), driver.Dir("dir"), driver.Key("dir/none"))
		if err != nil || len(states[0]) != 100 {
			t.Fatalf("Read = %d entries, %v", len(states[0]), err)
		}
		d.common.drop(errConnLost)
	}
	w := watchOf(t, d, driver.Dir("dir"))
	w.await(fo.state("/dir"))
	fo.commit(func(c *change) { c.set("/dir/more", "=v") })
	f.event(3, "/dir/more")
	f.event(4, "/dir")
	w.await(fo.state("/dir"))
	w.end()
	if _, err := lease.Renew(within(t, 5*time.Second)); err != nil {
		t.Errorf("Renew: %v", err)
	}
	f.set(func() {
		if f.sessions != 2 {
			t.Errorf("%d sessions were opened, want the lease's and the common one", f.sessions)
		}
	})
	if f.asked() != 1 {
		t.Errorf("the server was asked %d times, want once", f.asked())
	}
	for range 3 * maxExchange { // in several exchanges
		fo.commit(func(c *change) { c.set(fmt.Sprint("/dir/", time.Now().UnixNano()), "=v") })
	}
	states, err := d.Read(within(t, 5*time.Second), driver.Dir("dir"))
	if err != nil || len(states[0]) != 101+3*maxExchange {
		t.Errorf("Read = %d entries, %v", len(states[0]), err)
	}
}

// TestClosesWithoutAWord: a server that closes the connection instead of saying
// that it does not know the operation is taken for an old one, for a while.
func TestClosesWithoutAWord(t *testing.T) {
	f := startFake(t)
	f.set(func() {
		f.answer = func(op int32, _ []byte) (int32, []byte, reaction) {
			if op == opMultiRead {
				return 0, nil, cutIt
			}
			return 0, nil, usual
		}
	})
	d := f.open(t, nil)
	if _, err := d.Read(within(t, 5*time.Second), driver.Key("a"), driver.Key("b")); err != nil {
		t.Errorf("Read: %v", err)
	}
	d.servers.mu.Lock()
	defer d.servers.mu.Unlock()
	if left := time.Until(d.servers.until[f.addr]); left <= 0 || left > brokenFor {
		t.Errorf("it is taken for an old one for another %v", left)
	}
}

// TestNoRecursiveWatches: with another watch manager a server of 3.6 or later
// refuses the watch.
func TestNoRecursiveWatches(t *testing.T) {
	f := startFake(t)
	f.noTrees = true
	fo := f.forest("/dir")
	fo.group("/dir", 5)
	d := f.open(t, nil)
	w := watchOf(t, d, driver.Dir("dir"))
	w.await(fo.state("/dir"))
	fo.commit(func(c *change) { c.set("/dir/more", "=v") })
	f.event(4, "/dir")
	w.await(fo.state("/dir"))
	w.end()
	if n := f.count(opAddWatch); n != 1 {
		t.Errorf("it was asked for one %d times", n)
	}
}

// TestMixedEnsemble: while an ensemble is upgraded each server is asked for
// itself, and a watch goes on from one to the other, in both directions.
func TestMixedEnsemble(t *testing.T) {
	old, modern := startFake(t), startFake(t)
	old.old = true
	fo := modern.forest("/dir")
	old.set(func() { old.answer = fo.answer })
	d, err := NewDriver([]string{old.addr, modern.addr}, &Options{Tick: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.Close(within(t, 5*time.Second)); err != nil {
			t.Error(err)
		}
	}()
	w := watchOf(t, d, driver.Dir("dir"))
	w.await("[]")
	on := map[bool]bool{}
	for i := 0; i < 20 || len(on) < 2; i++ {
		fo.commit(func(c *change) { c.set("/dir/a", fmt.Sprint("=", i)) })
		old.event(3, "/dir/a")
		old.event(4, "/dir")
		w.await(fmt.Sprintf("[a=%d]", i))
		if c := d.common.present(); c != nil {
			on[c.modern] = true
			c.net.kill(errConnLost)
		}
	}
	w.end()
	if old.asked() != 1 {
		t.Errorf("the old server was asked %d times, want once", old.asked())
	}
}

// TestDowngrade: a server that was of 3.6 and is older now says so by closing
// the connection; the next one goes the old way.
func TestDowngrade(t *testing.T) {
	f := startFake(t)
	fo := f.forest("/dir")
	fo.group("/dir", 5)
	d := f.open(t, nil)
	w := watchOf(t, d, driver.Dir("dir"))
	w.await(fo.state("/dir"))
	f.set(func() { f.old = true })
	f.cut()
	fo.silent = true
	fo.commit(func(c *change) { c.set("/dir/more", "=v") })
	w.await(fo.state("/dir"))
	w.end()
	if _, err := d.Read(within(t, 5*time.Second), driver.Dir("dir")); err != nil {
		t.Errorf("Read: %v", err)
	}
}

// TestServersApart: the two connections of a driver are to two servers, where
// there are two that answer.
func TestServersApart(t *testing.T) {
	var all []string
	fakes := make(map[string]*fake)
	for range 3 {
		f := startFake(t)
		all = append(all, f.addr)
		fakes[f.addr] = f
	}
	for range 10 {
		d, err := NewDriver(all, &Options{Tick: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		ctx := within(t, 20*time.Second)
		lease, err := d.Grant(ctx, 4*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		line := d.leases[lease.ID()].reconnector
		for i := range 4 {
			if _, err := d.Read(ctx, driver.Key("a")); err != nil {
				t.Fatal(err)
			}
			if _, err := lease.Renew(ctx); err != nil {
				t.Fatal(err)
			}
			one, two := d.common.present(), line.present()
			if one == nil || two == nil || one.server == two.server {
				t.Fatalf("round %d: both connections are to one server, or one is missing", i)
			}
			[]*reconnector{d.common, line}[i%2].drop(errConnLost)
		}
		if err := d.Close(ctx); err != nil {
			t.Error(err)
		}
		if len(d.servers.taken) != 0 {
			t.Errorf("connections are counted that are closed: %v", d.servers.taken)
		}
	}
}

// TestTake: each server is tried once in a round, those with no connection of
// the driver's first.
func TestTake(t *testing.T) {
	s := newServers([]string{"a", "b", "c"})
	s.take(1, nil) // b
	tried := make(map[string]bool)
	var order string
	next := 1
	for range 3 {
		var server string
		server, next = s.take(next, tried)
		tried[server] = true
		order += server
		s.free(server)
	}
	if order != "cab" {
		t.Errorf("with a connection to b, and b next, the order is %s, want cab", order)
	}
}

// TestExchangeEnds: who waits for an answer is told when the connection is
// lost, with the reason, and when its context ends.
func TestExchangeEnds(t *testing.T) {
	f := startFake(t)
	d := f.open(t, nil)
	readSoon(t, d)
	c := d.common.present()
	f.set(func() { f.answer = func(int32, []byte) (int32, []byte, reaction) { return 0, nil, hold } })
	_, err := c.exchange(within(t, 20*time.Millisecond), pathRequest(opGetData, "/a", false))
	wantErr(t, "without an answer", err, context.DeadlineExceeded)
	ended := make(chan error)
	go func() {
		_, err := c.exchange(t.Context(), pathRequest(opGetData, "/a", false), pathRequest(opGetData, "/b", false))
		ended <- err
	}()
	why := errors.New("why")
	c.net.kill(why)
	wantErr(t, "on a connection that is lost", <-ended, errConnLost, why)
	_, err = c.exchange(t.Context(), pathRequest(opGetData, "/a", false))
	wantErr(t, "afterwards", err, errConnLost)
}
