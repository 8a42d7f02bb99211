package postgres

import (
	"bytes"
	"errors"
	"math"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/backend/driver"
)

func TestHistory(t *testing.T) {
	var h history
	first := h.now()
	if g := h.note(first, "a", 5); g != 1 {
		t.Errorf("the first reply is of generation %d", g)
	}
	if g := h.note(first, "a", 3); g != 1 {
		t.Errorf("a reply that another overtook is of generation %d", g)
	}
	if m := h.now(); m != (mark{1, "a", 5}) {
		t.Errorf("the mark is %+v", m)
	}
	second := h.now()
	if g := h.note(second, "a", 4); g != 2 {
		t.Errorf("a revision that went back is of generation %d", g)
	}
	if g := h.note(second, "a", 9); g != 1 {
		t.Errorf("a reply to a call from before is of generation %d", g)
	}
	third := h.now()
	if g := h.note(third, "b", 100); g != 3 {
		t.Errorf("another server is of generation %d", g)
	}
	if g := h.note(mark{generation: 1}, "c", 1); g != 1 || h.now().identity != "b" {
		t.Errorf("a late reply of another server is of generation %d, and left %+v", g, h.now())
	}

	// Two first replies of two servers: in which order, nobody knows.
	h = history{}
	start := h.now()
	h.note(start, "a", 1)
	if g := h.note(start, "b", 1); g != 2 {
		t.Errorf("another first reply is of generation %d", g)
	}
}

func TestCommitParams(t *testing.T) {
	start := mark{3, "server", 40}
	now, old := driver.Version{Generation: 3, Number: 7}, driver.Version{Generation: 2, Number: 7}
	params := commitParams(driver.Txn{
		Unchanged: []driver.Condition{{Key: "k/a", Version: now}, {Key: "k/b", Version: old}},
		Ops: []driver.Op{
			driver.Create("k/c", []byte("1")), driver.CreateEphemeral("k/d", nil), driver.Put("k/e", []byte("2"), now),
			driver.Delete("k/f", now), driver.Put("k/g", nil, driver.Version{Generation: 3}),
			driver.Put("k/h", nil, driver.Version{Generation: 3, Number: math.MaxUint64}),
		},
	}, start)
	var want [][]byte
	for _, v := range []int64{7, noVersion, absent, absent, 7, 7, noVersion, noVersion} {
		want = append(want, number(v))
	}
	if !bytes.Equal(params[5].value, numbersParam(want).value) {
		t.Errorf("versions % x, want % x", params[5].value, numbersParam(want).value)
	}
	if string(params[0].value) != "server" || !bytes.Equal(params[1].value, number(40)) {
		t.Errorf("expected %q at % x", params[0].value, params[1].value)
	}
	// What names no version may be applied on any server.
	params = commitParams(driver.Txn{Ops: []driver.Op{driver.Create("k/c", nil), driver.Delete("k/d", driver.Version{})}}, start)
	if len(params[0].value) != 0 || !bytes.Equal(params[5].value, numbersParam([][]byte{number(absent), number(anyVersion)}).value) {
		t.Errorf("expected %q, versions % x", params[0].value, params[5].value)
	}
}

func TestOptions(t *testing.T) {
	for _, bad := range []Options{
		{Schema: "Upper"},
		{Schema: "a.b"},
		{Schema: `a"b`},
		{Schema: "a b"},
		{Schema: strings.Repeat("s", 64)},
		{Schema: "1a"},
		{Poll: -1},
		{Poll: time.Millisecond},
		{Poll: time.Hour},
	} {
		if _, err := bad.withDefaults(); !errors.Is(err, driver.ErrInvalid) {
			t.Errorf("%+v: %v, want ErrInvalid", bad, err)
		}
		if _, err := SQL(&bad); !errors.Is(err, driver.ErrInvalid) {
			t.Errorf("SQL of %+v: %v, want ErrInvalid", bad, err)
		}
	}
	if _, err := NewDriver(nil, nil); !errors.Is(err, driver.ErrInvalid) {
		t.Errorf("a driver without a pool: %v, want ErrInvalid", err)
	}
	if _, err := New(nil, nil); !errors.Is(err, driver.ErrInvalid) {
		t.Errorf("a store without a pool: %v, want ErrInvalid", err)
	}
	sql, err := SQL(&Options{Schema: "another"})
	if err != nil || strings.Contains(sql, "quorate") || !strings.Contains(sql, "CREATE SCHEMA another") {
		t.Errorf("SQL of another schema names the default one, or not its own: %v", err)
	}
	if sql, err := SQL(nil); err != nil || sql != schemaSQL {
		t.Errorf("SQL of the default schema differs from the file: %v", err)
	}
}

func TestGrantBounds(t *testing.T) {
	_, d := startFake(t, nil)
	for _, ttl := range []time.Duration{0, -time.Second, maxTTL + 1} {
		if _, err := d.Grant(t.Context(), ttl); !errors.Is(err, driver.ErrInvalid) {
			t.Errorf("Grant of %v = %v, want ErrInvalid", ttl, err)
		}
	}
	if _, err := d.Commit(t.Context(), driver.Txn{Lease: "1", Ops: []driver.Op{driver.CreateEphemeral("a", nil)}}); !errors.Is(err, driver.ErrInvalid) {
		t.Errorf("Commit under what is no lease = %v, want ErrInvalid", err)
	}
}

// TestRing: a notification marks the watches of the keys that it names, and of
// their directories. An empty one marks all.
func TestRing(t *testing.T) {
	h := newHub(&Driver{life: t.Context()})
	defer h.stop()
	watches := map[driver.Target]*subscriber{}
	for _, target := range []driver.Target{driver.Key("a/b/c"), driver.Dir("a/b"), driver.Key("a/b"), driver.Dir("a"), driver.Key("d"), driver.Dir("d")} {
		watches[target] = &subscriber{target: target, news: make(chan struct{}, 1)}
		h.add(watches[target])
	}
	marked := func() (n int) {
		for _, s := range watches {
			if s.dirty {
				n++
			}
			s.dirty = false
		}
		return n
	}
	h.ring("a/b/c\nd")
	if !watches[driver.Key("a/b/c")].dirty || !watches[driver.Dir("a/b")].dirty || !watches[driver.Key("d")].dirty {
		t.Error("a watch of a key that was named is not marked")
	}
	if n := marked(); n != 3 {
		t.Errorf("%d watches are marked, want 3", n)
	}
	h.ring("")
	if n := marked(); n != len(watches) {
		t.Errorf("%d watches are marked by an empty notification, want all", n)
	}
}

// TestNewcomer: a watch that comes while a read is under way is not served by
// it, for that began before.
func TestNewcomer(t *testing.T) {
	h := newHub(&Driver{life: t.Context()})
	defer h.stop()
	target := driver.Key("a")
	first := &subscriber{target: target, dirty: true, news: make(chan struct{}, 1)}
	h.add(first)
	targets, marked, all := h.due(false)
	if len(targets) != 1 || !marked || !all {
		t.Fatalf("due: %v, %v, %v", targets, marked, all)
	}
	second := &subscriber{target: target, dirty: true, news: make(chan struct{}, 1)}
	h.add(second)
	h.deliver(targets, [][]driver.Entry{{{Key: "a"}}})
	if len(first.news) != 1 || len(second.news) != 0 {
		t.Errorf("served: the first %d, the newcomer %d", len(first.news), len(second.news))
	}
	targets, _, _ = h.due(false)
	h.deliver(targets, [][]driver.Entry{{{Key: "a"}}})
	if len(second.news) != 1 {
		t.Error("the newcomer was not served by the next read")
	}
}

// TestAlive: the look at an idle connection waits for nothing, be there a reader
// that pgx left, and sees that the other end closed, or said something.
func TestAlive(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	connect := func() (client, server net.Conn) {
		client, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		server, err = listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { client.Close(); server.Close() })
		return client, server
	}
	until := func(client net.Conn, what string) {
		for deadline := time.Now().Add(10 * time.Second); alive(client); {
			if time.Now().After(deadline) {
				t.Fatalf("a connection whose other end %s is alive", what)
			}
		}
	}
	client, server := connect()
	if !alive(client) {
		t.Error("an idle connection is not alive")
	}
	if _, err := server.Write([]byte("E")); err != nil {
		t.Fatal(err)
	}
	until(client, "said something")

	client, server = connect()
	read := make(chan error)
	go func() {
		_, err := client.Read(make([]byte, 1))
		read <- err
	}()
	if !alive(client) {
		t.Error("an idle connection with a reader is not alive")
	}
	server.Close()
	until(client, "was closed")
	if err := <-read; err == nil {
		t.Error("the reader of a closed connection got something")
	}
}
