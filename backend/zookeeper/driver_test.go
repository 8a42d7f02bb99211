package zookeeper

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
)

func TestArguments(t *testing.T) {
	for _, servers := range [][]string{
		nil, {}, {""}, {"a", ":2181"}, {"host:"}, {"a:b:c"},
		{"h1:2181,h2:2181/app"}, {"h1:2181,h2:2181"}, {"h1/app"}, {"h1:2181/app"}, {"h1:2181/"}, {"zk://h1:2181"},
		{"h1:port"}, {"h1:0"}, {"h1:-1"}, {"h1:+1"}, {"h1:65536"}, {"h1:21 81"}, {" h1:2181"}, {"h1:2181 "}, {"h 1"}, {"h1\n"},
		{"h1..h2"}, {"-h1"}, {"h1;h2"}, {"user@h1"}, {"[::1"}, {"[h1]:2181"}, {"::1:2181:x"}, {strings.Repeat("a", 64)},
	} {
		if _, err := Open(servers, nil); !errors.Is(err, backend.ErrInvalid) {
			t.Errorf("Open(%q) = %v, want ErrInvalid", servers, err)
		}
	}
	if _, err := Open([]string{"h1:2181/app"}, nil); err == nil || !strings.Contains(err.Error(), "Namespace") {
		t.Errorf("a chroot: %v; want an error that says how to say it", err)
	}
	given := []string{"h1", "h1:2181", "h_2.example.com.:1", "10.0.0.1:65535", "[::1]:2", "::1", "[fe80::1%eth0]:3"}
	full, err := checkAddresses(given)
	want := []string{"h1:2181", "h_2.example.com.:1", "10.0.0.1:65535", "[::1]:2", "[::1]:2181", "[fe80::1%eth0]:3"}
	if err != nil || !slices.Equal(full, want) {
		t.Errorf("checkAddresses(%q) = %q, %v; want %q", given, full, err, want)
	}
	for _, o := range []*Options{{Tick: -1}, {ACL: []zk.ACL{}}, {Auth: []Auth{{Data: []byte("u:p")}}}} {
		if _, err := NewDriver([]string{"a"}, o); !errors.Is(err, driver.ErrInvalid) {
			t.Errorf("NewDriver(%+v) = %v, want ErrInvalid", o, err)
		}
	}
	if _, err := Open([]string{"a"}, &backend.Options{TTL: 1}); !errors.Is(err, backend.ErrInvalid) {
		t.Errorf("Open with a TTL of 1 ns = %v, want ErrInvalid", err)
	}
	store, err := Open([]string{"a", "b:1", "[::1]:2"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Error(err)
	}
	d, err := NewDriver([]string{"a"}, &Options{Auth: []Auth{{"digest", []byte("u:p")}}})
	if err != nil || d.servers.addresses[0] != "a:2181" || d.opts.Tick != DefaultTick || d.opts.ACL[0].Scheme != "auth" {
		t.Errorf("defaults: %v, %+v, %v", d.servers, d.opts, err)
	}
}

// TestGrantReadsTheHandshake: what counts is the timeout that the server says.
func TestGrantReadsTheHandshake(t *testing.T) {
	f := startFake(t)
	d := f.open(t, nil)
	lease, err := d.Grant(within(t, 5*time.Second), 3*time.Second)
	if err != nil || lease.TTL() != 4*time.Second || lease.ID() != "0x1" {
		t.Fatalf("Grant = %v, %v; want what the server granted", lease, err)
	}
	_, err = d.Grant(within(t, 5*time.Second), 5*time.Second)
	wantErr(t, "a TTL above what the server grants", err, driver.ErrInvalid)
	_, err = f.open(t, nil).Grant(within(t, 5*time.Second), 30*24*time.Hour)
	wantErr(t, "a TTL that the protocol cannot say", err, driver.ErrInvalid)
	_, err = f.open(t, &Options{Tick: 3 * time.Second}).Grant(within(t, 5*time.Second), time.Second)
	wantErr(t, "a timeout of less than two ticks", err, driver.ErrInvalid)
}

// TestSilentHandshake: the zk client would wait for the reply for 6.7 timeouts,
// and Close would not interrupt it.
func TestSilentHandshake(t *testing.T) {
	f := startFake(t)
	f.set(func() { f.silent = true })
	d := f.open(t, nil)
	began := time.Now()
	_, err := d.Read(within(t, 100*time.Millisecond), driver.Key("a"))
	wantErr(t, "Read", err, driver.ErrUnavailable, context.DeadlineExceeded)
	_, err = d.Commit(within(t, 100*time.Millisecond), driver.Txn{Ops: []driver.Op{driver.Create("a", nil)}})
	wantErr(t, "Commit", err, driver.ErrUnavailable, context.DeadlineExceeded)
	if errors.Is(err, driver.ErrIndeterminate) {
		t.Errorf("Commit: %v, though nothing was sent", err)
	}
	if err := d.Close(within(t, time.Second)); err != nil {
		t.Errorf("Close: %v", err)
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("it took %v", took)
	}
}

// TestCommitSentOnce loses the connection after a commit was read: nothing of
// it may come on the next one, and its outcome is not known.
func TestCommitSentOnce(t *testing.T) {
	f := startFake(t)
	d := f.open(t, nil)
	var creates int
	f.answer = func(op int32, body []byte) (int32, []byte, reaction) {
		if op == opMulti && !isBarrier(op, body) {
			creates++
			return 0, nil, cutIt
		}
		return 0, nil, usual
	}
	_, err := d.Commit(within(t, 5*time.Second), driver.Txn{Ops: []driver.Op{driver.Create("a", nil)}})
	wantErr(t, "a commit whose reply was lost", err, driver.ErrIndeterminate)
	readSoon(t, d)
	f.set(func() {
		if creates != 1 {
			t.Errorf("it was sent %d times", creates)
		}
	})
}

// TestNothingAfterAnExpiry: the client's own way after an expired session is a
// new one, to which it sends what it has queued.
func TestNothingAfterAnExpiry(t *testing.T) {
	f := startFake(t)
	d := f.open(t, nil)
	lease, err := d.Grant(within(t, 5*time.Second), 4*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	f.set(func() { f.expired = true })
	f.cut()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			_, err := d.Commit(within(t, 5*time.Second), driver.Txn{Lease: lease.ID(), Ops: []driver.Op{driver.CreateEphemeral("a", nil)}})
			// One that came before the loss was noticed cannot know.
			if !errors.Is(err, driver.ErrSessionLost) && !errors.Is(err, driver.ErrIndeterminate) && !errors.Is(err, driver.ErrUnavailable) {
				t.Errorf("Commit: %v, want ErrSessionLost", err)
			}
		})
	}
	all.Wait()
	select {
	case <-lease.Lost():
	case <-time.After(5 * time.Second):
		t.Error("Lost is not closed")
	}
	_, err = lease.Renew(within(t, 5*time.Second))
	wantErr(t, "Renew", err, driver.ErrSessionLost)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.sessions != 1 {
		t.Errorf("%d sessions were opened, want the one", f.sessions)
	}
	for _, body := range f.bodies[opMulti] {
		if !isBarrier(opMulti, body) {
			t.Error("a commit of the expired session was sent")
		}
	}
}

// TestSessionMoved: a connection whose session another one has taken is of no
// use, though the server goes on answering reads on it.
func TestSessionMoved(t *testing.T) {
	f := startFake(t)
	d := f.open(t, nil)
	lease, err := d.Grant(within(t, 5*time.Second), 4*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	c := d.leases[lease.ID()].reconnector.present()
	<-c.admitted
	f.set(func() {
		f.answer = func(op int32, _ []byte) (int32, []byte, reaction) {
			if op == opMulti {
				return codeSessionMoved, nil, told
			}
			return 0, nil, usual
		}
	})
	_, err = d.Commit(within(t, 5*time.Second), driver.Txn{Lease: lease.ID(), Ops: []driver.Op{driver.CreateEphemeral("a", nil)}})
	wantErr(t, "a commit that the leader refused to look at", err, driver.ErrUnavailable, zk.ErrSessionMoved)
	select {
	case <-c.net.down:
	case <-time.After(2 * time.Second): // well before the lease lapses
		t.Error("the connection is kept")
	}
	f.set(func() { f.answer = nil })
	if _, err := lease.Renew(within(t, 5*time.Second)); err != nil {
		t.Errorf("Renew on the next connection: %v", err)
	}
}

// TestAbandonedCalls: calls know no contexts, so those that nobody waits for
// any more wait on; there must be a bound to them, and an end.
func TestAbandonedCalls(t *testing.T) {
	f := startFake(t)
	d := f.open(t, nil)
	if _, err := d.Read(within(t, 5*time.Second), driver.Key("a")); err != nil {
		t.Fatal(err)
	}
	f.set(func() { f.answer = func(int32, []byte) (int32, []byte, reaction) { return 0, nil, hold } })
	before := f.count(opMulti)
	for range 3 * maxRequests {
		_, err := d.Read(within(t, time.Millisecond), driver.Key("a"))
		wantErr(t, "Read without an answer", err, driver.ErrUnavailable)
	}
	if n := f.count(opMulti) - before; n > maxRequests {
		t.Errorf("%d requests wait on one connection, at most %d may", n, maxRequests)
	}
	c := d.common.present()
	if c != nil && len(c.slots) > maxRequests {
		t.Errorf("%d calls wait", len(c.slots))
	}
	f.set(func() { f.answer = nil })
	// The silence is noticed, and another connection serves.
	readSoon(t, d)
}

// TestDenied: a server that does not accept what a client identifies itself
// with is not asked again and again for the length of a call.
func TestDenied(t *testing.T) {
	f := startFake(t)
	f.answer = func(op int32, _ []byte) (int32, []byte, reaction) {
		if op == opAuth {
			return codeAuthFailed, nil, told
		}
		return 0, nil, usual
	}
	d := f.open(t, &Options{Auth: []Auth{{"digest", []byte("u:p")}}})
	_, err := d.Read(within(t, 5*time.Second), driver.Key("a"))
	wantErr(t, "Read", err, driver.ErrDenied, zk.ErrAuthFailed)
	if errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Read waited for its deadline: %v", err)
	}
}

// TestGeneration: what was read on a connection that is gone cannot be compared
// any more, unless another was up all the while.
func TestGeneration(t *testing.T) {
	f := startFake(t)
	f.answer = func(op int32, body []byte) (int32, []byte, reaction) {
		if op == opGetData && strings.HasSuffix(path(body), "/a") {
			return 0, data("=v", 5), told
		}
		return 0, nil, usual
	}
	d := f.open(t, nil)
	read := func() driver.Version {
		t.Helper()
		all, err := d.Read(within(t, 5*time.Second), driver.Key("a"))
		if err != nil || len(all[0]) != 1 {
			t.Fatalf("Read = %v, %v", all, err)
		}
		return all[0][0].Version
	}
	first := read()
	if first.Generation != 1 {
		t.Errorf("the first generation is %d", first.Generation)
	}
	d.common.drop(errConnLost)
	second := read()
	if second.Generation != 2 {
		t.Errorf("generation %d after the only connection was lost, want 2", second.Generation)
	}
	before := f.count(opMulti)
	result, err := d.Commit(within(t, 5*time.Second), driver.Txn{Ops: []driver.Op{driver.Put("a", nil, first)}})
	if err != nil || result.Applied || result.Current["a"].Version != second {
		t.Errorf("a put on a version of the last generation: %+v, %v; want it refused, with what is there", result, err)
	}
	f.set(func() {
		for _, body := range f.bodies[opMulti][before:] {
			if !isBarrier(opMulti, body) {
				t.Error("it was sent")
			}
		}
	})
	lease, err := d.Grant(within(t, 5*time.Second), 4*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	// A commit waits until it is known where its connection belongs.
	_, err = d.Commit(within(t, 5*time.Second), driver.Txn{Lease: lease.ID(), Ops: []driver.Op{driver.CreateEphemeral("b", nil)}})
	if err != nil {
		t.Fatal(err)
	}
	d.common.drop(errConnLost)
	if third := read(); third != second {
		t.Errorf("version %v became %v, though a connection was up all the while", second, third)
	}
}

// readSoon reads until it is answered.
func readSoon(t testing.TB, d *Driver) {
	t.Helper()
	ctx := within(t, 2*commonProbe+5*time.Second)
	for {
		_, err := d.Read(ctx, driver.Key("a"))
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("Read: %v", err)
		}
	}
}
