package zookeeper

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/quorate/quorate/backend/driver"
)

// TestCredit: what a server heard less than a tick ago it may not have told the
// leader.
func TestCredit(t *testing.T) {
	const tick = 2 * time.Second
	now := time.Now()
	at := func(began, took time.Duration) ack { return ack{now.Add(-began), now.Add(-began + took)} }
	for name, c := range map[string]struct {
		acks []ack
		want time.Duration // before now; 0: nothing
	}{
		"nothing":                     {nil, 0},
		"too new":                     {[]ack{at(1999*time.Millisecond, 0)}, 0},
		"just old enough":             {[]ack{at(tick, 0)}, tick},
		"the newest of the old":       {[]ack{at(5*time.Second, 0), at(3*time.Second, 0), at(time.Second, 0)}, 3 * time.Second},
		"began later, ended earlier":  {[]ack{at(4*time.Second, 0), at(6*time.Second, 3*time.Second)}, 4 * time.Second},
		"old but answered just now":   {[]ack{at(6*time.Second, 0), at(3*time.Second, 2*time.Second)}, 6 * time.Second},
		"answered a tick ago, slowly": {[]ack{at(5*time.Second, 3*time.Second)}, 5 * time.Second},
	} {
		l := &ackLog{tick: tick, acks: c.acks}
		for range 2 { // what is left behind serves the next
			began, ok := l.credit(now)
			if ok != (c.want > 0) || ok && now.Sub(began) != c.want {
				t.Errorf("%s: credited %v (%v), want %v", name, now.Sub(began), ok, c.want)
			}
		}
	}
}

// TestAcksAreBounded: what no credit can come from any more is not kept, also
// on a connection that is only touched, and asks for no credit.
func TestAcksAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &ackLog{tick: 2 * time.Second}
		for range 10_000 {
			l.add(time.Now())
			time.Sleep(commonProbe)
		}
		if len(l.acks) > 2 {
			t.Errorf("%d requests are kept for a credit that only one can give", len(l.acks))
		}
		if began, ok := l.credit(time.Now()); !ok || time.Since(began) != commonProbe {
			t.Errorf("credited %v, %v", time.Since(began), ok)
		}
	})
}

// TestAge: a machine that was suspended has a monotonic clock that stood still.
func TestAge(t *testing.T) {
	now := time.Now()
	if got := age(now, now.Add(-3*time.Second)); got != 3*time.Second {
		t.Errorf("age = %v", got)
	}
	earlier := now.Round(0).Add(-time.Minute) // by the wall clock alone
	if got := age(now, earlier); got != time.Minute {
		t.Errorf("age by the wall clock = %v", got)
	}
}

// TestEntries: a parent that was made for a key to lie in has no data, and what
// somebody else put there has not ours.
func TestEntries(t *testing.T) {
	stat := &zk.Stat{Czxid: 3, Mzxid: 5, Version: 1, EphemeralOwner: 0x1f}
	for _, data := range []string{"", "x", "{}"} {
		if e, ok := toEntry("/q/a", []byte(data), stat, 2); ok {
			t.Errorf("the data %q are taken for the key %+v", data, e)
		}
	}
	want := driver.Entry{Key: "q/a", Value: []byte("1"), Created: 3, Modified: 5, Version: toVersion(1, 2), Lease: "0x1f"}
	if e, ok := toEntry("/q/a", []byte("=1"), stat, 2); !ok || !reflect.DeepEqual(e, want) {
		t.Errorf("the entry is %+v, %t, want %+v", e, ok, want)
	}
}

func TestVersions(t *testing.T) {
	for _, version := range []int32{0, 1, math.MaxInt32, math.MinInt32, -2} {
		v := toVersion(version, 3)
		if got, ok := ofVersion(v); !ok || got != version || v.Generation != 3 || v.Number == 0 {
			t.Errorf("version %d became %v and %d (%v)", version, v, got, ok)
		}
	}
	for _, number := range []uint64{0, 1 << 32, math.MaxUint64} {
		if got, ok := ofVersion(driver.Version{Number: number}); ok {
			t.Errorf("the number %d, which no version has, became %d", number, got)
		}
	}
}

// TestOperations: to ZooKeeper the version -1 means any. Nothing is sent with
// it but the delete that has no version, and what passes it over.
func TestOperations(t *testing.T) {
	d, err := NewDriver([]string{"a"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	version := func(v int32) driver.Version { return toVersion(v, 1) }
	acl := zk.WorldACL(zk.PermAll)
	m, ok := d.operations(driver.Txn{
		Unchanged: []driver.Condition{{Key: "q/c", Version: version(4)}},
		Ops: []driver.Op{
			driver.Create("q/a", []byte("1")), driver.CreateEphemeral("q/b", nil),
			driver.Put("q/d", []byte("2"), version(-2)), driver.Delete("q/e", version(0)), driver.Put("q/f", nil, version(7)),
		},
	})
	want := []any{
		&zk.CheckVersionRequest{Path: "/q/c", Version: 4},
		&zk.CreateRequest{Path: "/q/a", Data: []byte("=1"), Acl: acl},
		&zk.CreateRequest{Path: "/q/b", Data: []byte("="), Acl: acl, Flags: zk.FlagEphemeral},
		&zk.SetDataRequest{Path: "/q/d", Data: []byte("=2"), Version: -2},
		&zk.SetDataRequest{Path: "/q/d", Data: []byte("=2"), Version: -1},
		&zk.DeleteRequest{Path: "/q/e", Version: 0},
		&zk.SetDataRequest{Path: "/q/f", Data: []byte("="), Version: 7},
	}
	if !ok || !reflect.DeepEqual(m.ops, want) || !reflect.DeepEqual(m.at, []int{1, 2, 4, 5, 6}) {
		t.Errorf("%v, %v at %v", ok, m.ops, m.at)
	}
	blind, ok := d.operations(driver.Txn{Ops: []driver.Op{driver.Delete("q/a", driver.Version{})}})
	if !ok || !blind.blind || !reflect.DeepEqual(blind.ops, []any{&zk.DeleteRequest{Path: "/q/a", Version: -1}}) {
		t.Errorf("a delete without a version: %v, %v", ok, blind)
	}
	for _, bad := range []driver.Version{{Generation: 1}, {Generation: 1, Number: 1 << 32}, {Generation: 1, Number: 1 << 40}} {
		for _, txn := range []driver.Txn{
			{Unchanged: []driver.Condition{{Key: "q/a", Version: bad}}},
			{Ops: []driver.Op{driver.Put("q/a", nil, bad)}},
			{Ops: []driver.Op{driver.Delete("q/a", bad)}},
		} {
			if m, ok := d.operations(txn); ok {
				t.Errorf("the version %v, which nothing has, is sent as %v", bad, m.ops)
			}
		}
	}
}

func TestClassify(t *testing.T) {
	for _, c := range []struct {
		err         error
		read, write error
	}{
		{zk.ErrNoAuth, driver.ErrDenied, driver.ErrDenied},
		{errors.New(throttled), driver.ErrOverloaded, driver.ErrOverloaded},
		{zk.ErrAuthFailed, driver.ErrDenied, driver.ErrDenied},
		{zk.ErrInvalidACL, driver.ErrInvalid, driver.ErrInvalid},
		{zk.ErrShortBuffer, driver.ErrTooLarge, driver.ErrTooLarge},
		{zk.ErrNoServer, driver.ErrUnavailable, driver.ErrUnavailable},
		{errConnLost, driver.ErrUnavailable, driver.ErrUnavailable},
		{zk.ErrSessionExpired, driver.ErrUnavailable, driver.ErrUnavailable},
		{zk.ErrSessionMoved, driver.ErrUnavailable, driver.ErrUnavailable},
		{zk.ErrConnectionClosed, driver.ErrUnavailable, driver.ErrIndeterminate},
		{zk.ErrClosing, driver.ErrUnavailable, driver.ErrIndeterminate},
		{net.ErrClosed, driver.ErrUnavailable, driver.ErrIndeterminate},
		{context.DeadlineExceeded, driver.ErrUnavailable, driver.ErrIndeterminate},
		{errors.New("unknown error: -3"), driver.ErrUnavailable, driver.ErrIndeterminate},
	} {
		for maybe, want := range map[bool]error{false: c.read, true: c.write} {
			got := classify(fmt.Errorf("asking: %w", c.err), maybe)
			if !errors.Is(got, want) || !errors.Is(got, c.err) {
				t.Errorf("classify(%v, %v) = %v, want %v", c.err, maybe, got, want)
			}
			if !errors.Is(want, driver.ErrIndeterminate) && errors.Is(got, driver.ErrIndeterminate) {
				t.Errorf("classify(%v, %v) = %v", c.err, maybe, got)
			}
		}
	}
}

// TestGreeting reads what servers may answer to a connect request, and what
// others would.
func TestGreeting(t *testing.T) {
	whole := greeting(77, 12*time.Second)
	s, err := parseGreeting(whole)
	if err != nil || s.id != 77 || s.timeout != 12*time.Second || len(s.password) != 16 {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err := parseGreeting(whole[:len(whole)-1]); err != nil || s.id != 77 {
		t.Errorf("an old server's: %+v, %v", s, err)
	}
	for _, bad := range [][]byte{nil, whole[:10], whole[:20], append(bytes.Clone(whole[:16]), 0x7f, 0xff, 0xff, 0xff), append(bytes.Clone(whole[:16]), 0xff, 0xff, 0xff, 0xff)} {
		if s, err := parseGreeting(bad); err == nil {
			t.Errorf("%v is taken for %+v", bad, s)
		}
	}
	for name, talk := range map[string]func(net.Conn){
		"a web server":            func(c net.Conn) { _, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")) },
		"no session":              func(c net.Conn) { writeFrame(c, greeting(0, 0)) },
		"one that closes at once": func(c net.Conn) { c.Close() },
	} {
		client, server := net.Pipe()
		go func() {
			_, _ = readFrame(server)
			talk(server)
			server.Close()
		}()
		if s, _, err := greet(client, session{}, time.Second); err == nil || errors.Is(err, errExpired) {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
		client.Close()
	}
	for _, c := range []struct {
		d    time.Duration
		want uint32
	}{{time.Second, 1000}, {time.Second + 1, 1001}, {1, 1}, {math.MaxInt64, math.MaxInt32}} {
		if got := milliseconds(c.d); c.d < math.MaxInt64 && got != c.want {
			t.Errorf("%v is asked for as %d ms", c.d, got)
		}
	}
}

// TestRegistry: a watch that may have fired while it was being set does not
// count as set, and one that is set serves all.
func TestRegistry(t *testing.T) {
	var r watchTable
	r.init()
	s, names := watchPoint{path: "/a"}, watchPoint{path: "/a", children: true}
	f := &follower{news: make(chan struct{}, 1)}
	r.follow(f, "/a")
	told := func() bool {
		select {
		case <-f.news:
			return true
		default:
			return false
		}
	}
	r.begin(s)
	first := r.done(s, true)
	if first == 0 || r.number(s) != first || told() {
		t.Errorf("a watch that was set: %d, %d", first, r.number(s))
	}
	r.event(zk.Event{Type: zk.EventNodeDataChanged, Path: "/a"})
	if r.number(s) != 0 || !told() {
		t.Error("an event did not fire the watch, or was not told")
	}
	r.begin(s)
	r.event(zk.Event{Type: zk.EventNodeDeleted, Path: "/a"})
	if n := r.done(s, true); n != 0 || r.number(s) != 0 || !told() {
		t.Errorf("a watch that may have fired while it was set has the number %d", n)
	}
	r.begin(s)
	if n := r.done(s, false); n != 0 || r.number(s) != 0 {
		t.Error("a watch that was refused is set")
	}
	r.begin(s)
	r.begin(s)
	one, two := r.done(s, true), r.done(s, true)
	if one == 0 || one != two || one == first {
		t.Errorf("two at once: %d and %d, after %d", one, two, first)
	}
	r.begin(names)
	r.done(names, true)
	r.event(zk.Event{Type: zk.EventNodeChildrenChanged, Path: "/a"})
	if r.number(names) != 0 || r.number(s) == 0 {
		t.Error("a change of the names fired the watch of the data, or not that of the names")
	}
	r.event(zk.Event{Type: zk.EventSession, State: zk.StateDisconnected})
	r.unfollow(f, "/a")
	told()
	r.event(zk.Event{Type: zk.EventNodeDeleted, Path: "/a"})
	if told() || len(r.followers) != 0 {
		t.Error("who follows no longer was told")
	}
	for i := range maxIdle + 1 {
		if r.crowded() {
			t.Fatalf("crowded with %d", i)
		}
		idle := watchPoint{path: fmt.Sprint("/", i)}
		r.begin(idle)
		r.done(idle, true)
	}
	if !r.crowded() {
		t.Error("not crowded")
	}
}
