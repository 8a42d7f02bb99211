package etcd

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/quorate/quorate/backend/driver"
)

func TestNewDriverRejects(t *testing.T) {
	for name, client := range map[string]*clientv3.Client{
		"nil":                  nil,
		"without a connection": clientv3.NewCtxClient(t.Context()),
	} {
		if d, err := NewDriver(client); d != nil || !errors.Is(err, driver.ErrInvalid) {
			t.Errorf("NewDriver of a client that is %s: %v, %v, want ErrInvalid", name, d, err)
		}
		if s, err := New(client, nil); s != nil || !errors.Is(err, driver.ErrInvalid) {
			t.Errorf("New of a client that is %s: %v, %v, want ErrInvalid", name, s, err)
		}
	}
}

func TestGrantRejects(t *testing.T) {
	d, _ := testDriver(t)
	for _, ttl := range []time.Duration{-time.Second, 0, maxTTL + 1} {
		if _, err := d.Grant(t.Context(), ttl); !errors.Is(err, driver.ErrInvalid) {
			t.Errorf("Grant(%v) = %v, want ErrInvalid", ttl, err)
		}
	}
}

// TestNobodyThere makes every call of a store that cannot be reached.
func TestNobodyThere(t *testing.T) {
	d, client := testDriver(t)
	held := &lease{driver: d, id: 1, ttl: time.Minute, lost: make(chan struct{})}
	calls := map[string]func(context.Context) error{
		"Read": func(ctx context.Context) error { _, err := d.Read(ctx, driver.Key("a")); return err },
		"Commit": func(ctx context.Context) error {
			_, err := d.Commit(ctx, driver.Txn{Ops: []driver.Op{driver.Create("a", nil)}})
			return err
		},
		"Watch":  func(ctx context.Context) error { return d.Watch(ctx, driver.Key("a"), func([]driver.Entry) {}) },
		"Grant":  func(ctx context.Context) error { _, err := d.Grant(ctx, time.Second); return err },
		"Renew":  func(ctx context.Context) error { _, err := held.Renew(ctx); return err },
		"Revoke": held.Revoke,
	}
	for name, call := range calls {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		err := call(ctx)
		cancel()
		if !errors.Is(err, driver.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, driver.ErrIndeterminate) {
			t.Errorf("%s: %v, want ErrUnavailable and the deadline: nothing was sent", name, err)
		}
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	for name, call := range calls {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		err := call(ctx)
		cancel()
		if !errors.Is(err, driver.ErrClosed) {
			t.Errorf("%s with a closed client: %v, want ErrClosed", name, err)
		}
	}
	if err := d.Close(t.Context()); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func TestBounds(t *testing.T) {
	for _, c := range []struct {
		target driver.Target
		key    string
		want   bool
	}{
		{driver.Key("a/b"), "a/b", true},
		{driver.Key("a/b"), "a/bc", false},
		{driver.Key("a/b"), "a/b/c", false},
		{driver.Dir("a/b"), "a/b", false},
		{driver.Dir("a/b"), "a/bc", false},
		{driver.Dir("a/b"), "a/b/", false},
		{driver.Dir("a/b"), "a/b/c", true},
		{driver.Dir("a/b"), "a/b/c/d", false},
		{driver.Dir("a/b"), "a/b.c", false},
		{driver.Dir("a/b"), "x/a/b/c", false},
	} {
		if got := c.target.Covers(c.key); got != c.want {
			t.Errorf("%v covers %q: %v", c.target, c.key, got)
		}
		key, end := bounds(c.target)
		in := c.key == string(key)
		if end != nil {
			in = c.key >= string(key) && c.key < string(end)
		}
		if c.want && !in {
			t.Errorf("%q belongs to %v but not to its range [%q, %q)", c.key, c.target, key, end)
		}
	}
	// What is asked for needs no permission outside the directory.
	if key, end := bounds(driver.Dir("ns")); string(key) != "ns/" || string(end) != "ns0" {
		t.Errorf("the range of ns is [%q, %q)", key, end)
	}
}

func TestTransaction(t *testing.T) {
	v := driver.Version{Generation: 1, Number: 7}
	request, id, err := transaction(driver.Txn{
		Unchanged: []driver.Condition{{Key: "a", Version: v}},
		Ops: []driver.Op{
			driver.Create("b", []byte("B")), driver.CreateEphemeral("c", nil),
			driver.Put("d", []byte("D"), v), driver.Delete("e", v),
		},
		Lease: "1f",
	})
	if err != nil || id != 0x1f {
		t.Fatalf("lease %x, %v", id, err)
	}
	var compared, read []string
	for _, c := range request.Compare {
		compared = append(compared, string(c.Key))
		if created := c.Target == pb.Compare_CREATE; c.Result != pb.Compare_EQUAL || created != (string(c.Key) == "b" || string(c.Key) == "c") ||
			!created && c.GetModRevision() != 7 || created && c.GetCreateRevision() != 0 {
			t.Errorf("condition on %q: %v", c.Key, c)
		}
	}
	for _, r := range request.Failure {
		read = append(read, string(r.GetRequestRange().GetKey()))
	}
	all := []string{"a", "b", "c", "d", "e"}
	if !slices.Equal(compared, all) || !slices.Equal(read, all) {
		t.Errorf("compared %q, read when refused %q, want all keys", compared, read)
	}
	b, c, put := request.Success[0].GetRequestPut(), request.Success[1].GetRequestPut(), request.Success[2].GetRequestPut()
	if b.Lease != 0 || b.IgnoreLease || c.Lease != 0x1f || c.IgnoreLease || put.Lease != 0 || !put.IgnoreLease {
		t.Errorf("create %v, ephemeral create %v, put %v", b, c, put)
	}
	if del := request.Success[3].GetRequestDeleteRange(); string(del.GetKey()) != "e" || len(del.GetRangeEnd()) != 0 {
		t.Errorf("delete %v", del)
	}
	for _, number := range []uint64{0, 1 << 63} {
		if c := unchanged("a", driver.Version{Generation: 1, Number: number}); c.GetModRevision() >= 0 {
			t.Errorf("version number %d is compared as %d, which a key or its absence could have", number, c.GetModRevision())
		}
	}
	blind, _, err := transaction(driver.Txn{Ops: []driver.Op{driver.Delete("e", driver.Version{})}})
	if err != nil || len(blind.Compare) != 0 || len(blind.Success) != 1 {
		t.Errorf("blind delete: %v, %v", blind, err)
	}
	for _, name := range []string{"0", "-1", "01", "1F", "g", "8000000000000000", " 1"} {
		if _, _, err := transaction(driver.Txn{Ops: []driver.Op{driver.CreateEphemeral("c", nil)}, Lease: name}); !errors.Is(err, driver.ErrInvalid) {
			t.Errorf("lease %q: %v, want ErrInvalid", name, err)
		}
	}
}

func TestHistory(t *testing.T) {
	header := func(cluster uint64, revision int64, term uint64) *pb.ResponseHeader {
		return &pb.ResponseHeader{ClusterId: cluster, Revision: revision, RaftTerm: term}
	}
	newHistory := func() *history {
		h := &history{}
		if g := h.note(h.now(), header(1, 100, 5)); g != 1 {
			t.Fatalf("the first reply is of generation %d", g)
		}
		return h
	}
	for name, c := range map[string]struct {
		header *pb.ResponseHeader
		want   uint64
	}{
		"same":                   {header(1, 100, 5), 1},
		"on":                     {header(1, 101, 6), 1},
		"revision went back":     {header(1, 99, 5), 2},
		"term went back":         {header(1, 200, 4), 2},
		"another cluster":        {header(2, 200, 6), 2},
		"another cluster, early": {header(2, 2, 2), 2},
	} {
		h := newHistory()
		_, wentBack := h.generation.Present()
		if got := h.note(h.now(), c.header); got != c.want {
			t.Errorf("%s: generation %d, want %d", name, got, c.want)
		}
		select {
		case <-wentBack:
			if c.want == 1 {
				t.Errorf("%s: watches are told that the store went back", name)
			}
		default:
			if c.want == 2 {
				t.Errorf("%s: watches are not told that the store went back", name)
			}
		}
		// What follows goes on from there.
		after := h.now()
		if got := h.note(after, c.header); got != c.want || after.generation != c.want {
			t.Errorf("%s: generation %d afterwards", name, got)
		}
	}

	h := newHistory()
	a, b := h.now(), h.now()
	h.note(a, header(1, 200, 5))
	if g := h.note(b, header(1, 150, 5)); g != 1 {
		t.Errorf("replies of concurrent calls that overtook each other began generation %d", g)
	}
	if h.now().revision != 200 {
		t.Errorf("the highest revision is %d, want 200", h.now().revision)
	}
	a, b, c := h.now(), h.now(), h.now()
	if g := h.note(a, header(1, 10, 2)); g != 2 {
		t.Errorf("generation %d after a restore", g)
	}
	if g := h.note(b, header(1, 11, 2)); g != 2 {
		t.Errorf("a second reply of the restored store is of generation %d, want 2", g)
	}
	if g := h.note(c, header(1, 201, 5)); g != 1 {
		t.Errorf("a late reply of the store before it was restored is of generation %d, want 1", g)
	}
	if m := h.now(); m.revision != 10 && m.revision != 11 || m.generation != 2 {
		t.Errorf("after a restore the mark is %+v", m)
	}
}
