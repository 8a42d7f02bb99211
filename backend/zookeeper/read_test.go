package zookeeper

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quorate/quorate/backend/driver"
)

// TestReadInThreeRequests: a directory costs a barrier, the list of its names
// and one request for their values, and keys cost a barrier and one request.
func TestReadInThreeRequests(t *testing.T) {
	f := startFake(t)
	fo := f.forest("/dir")
	fo.group("/dir", 256)
	d := f.open(t, nil)
	readSoon(t, d)
	for _, c := range []struct {
		what    string
		targets []driver.Target
		want    map[int32]int
	}{
		{"a directory", []driver.Target{driver.Dir("dir")}, map[int32]int{opMulti: 1, opGetChildren2: 1, opMultiRead: 1}},
		{"an absent directory", []driver.Target{driver.Dir("none")}, map[int32]int{opMulti: 1, opGetChildren2: 1}},
		{"keys", []driver.Target{driver.Key("a"), driver.Key("b"), driver.Key("c")}, map[int32]int{opMulti: 1, opMultiRead: 1}},
		{"a key", []driver.Target{driver.Key("a")}, map[int32]int{opMulti: 1, opGetData: 1}},
		{"two directories", []driver.Target{driver.Dir("dir"), driver.Dir("none")}, map[int32]int{opMulti: 1, opGetChildren2: 2, opMultiRead: 1}},
	} {
		since := f.requests()
		states, err := d.Read(within(t, 5*time.Second), c.targets...)
		if err != nil || len(states) != len(c.targets) || c.targets[0].Path == "dir" && len(states[0]) != 256 {
			t.Errorf("Read of %s = %d states, %v", c.what, len(states), err)
		}
		wantRequests(t, "Read of "+c.what, since(), c.want)
	}
}

// TestBarrierAndReadsTogether: the first reads do not wait for the answer to
// the barrier.
func TestBarrierAndReadsTogether(t *testing.T) {
	f := startFake(t)
	d := f.open(t, nil)
	readSoon(t, d)
	lists := f.count(opGetChildren2)
	f.set(func() {
		f.answer = func(op int32, _ []byte) (int32, []byte, reaction) {
			if op == opMulti {
				return 0, nil, hold
			}
			return 0, nil, usual
		}
	})
	_, err := d.Read(within(t, 200*time.Millisecond), driver.Dir("a"))
	wantErr(t, "Read without an answer to the barrier", err, driver.ErrUnavailable, context.DeadlineExceeded)
	if f.count(opGetChildren2) == lists {
		t.Error("the names were not asked for before the barrier was answered")
	}
}

// TestReadOrder: what a later target shows is not older than what an earlier
// one showed, though both were asked for at once.
func TestReadOrder(t *testing.T) {
	f := startFake(t)
	fo := f.forest("/a")
	fo.commit(func(c *change) { c.set("/a/k", "=0"); c.set("/b", ""); c.set("/b/k", "=0"); c.set("/c", "=0") })
	var moved atomic.Bool
	f.set(func() {
		f.answer = func(op int32, body []byte) (int32, []byte, reaction) {
			if op == opGetData && path(body) == "/a/k" && moved.CompareAndSwap(false, true) {
				fo.within(func(c *change) { c.set("/a/k", "=1"); c.set("/b/l", "=1"); c.set("/c", "=1") })
			}
			return fo.answer(op, body)
		}
	})
	d := f.open(t, nil)
	states, err := d.Read(within(t, 5*time.Second), driver.Dir("a"), driver.Dir("b"), driver.Key("c"))
	if err != nil {
		t.Fatal(err)
	}
	if got := show("a", states[0]) + show("b", states[1]) + show("", states[2]); got != "[k=1][k=0 l=1][c=1]" {
		t.Errorf("Read shows %s: of one commit, a part", got)
	}
}

// TestSplit: no request has more nodes or bytes than it may.
func TestSplit(t *testing.T) {
	var s readSizes
	long := strings.Repeat("x", driver.MaxKeyBytes)
	for range 4 {
		var paths []string
		for i := range 1200 {
			paths = append(paths, fmt.Sprint(i, long))
		}
		var got []string
		for _, batch := range s.split(paths) {
			if r := dataRequest(batch); len(batch) > s.batch() || len(r.body) > maxRequestBytes+100 {
				t.Errorf("a request of %d nodes and %d bytes", len(batch), len(r.body))
			}
			got = append(got, batch...)
		}
		if !slices.Equal(got, paths) {
			t.Error("the batches are not the paths")
		}
		s.shrink()
	}
	if s.batch() != minBatch || s.split(nil) != nil {
		t.Errorf("at last %d nodes are asked for; nothing is split into %v", s.batch(), s.split(nil))
	}
}

// TestAnswerTooLarge: an answer beyond all bounds is not read, and less is
// asked for.
func TestAnswerTooLarge(t *testing.T) {
	f := startFake(t)
	fo := f.forest("/dir")
	fo.group("/dir", 200)
	f.set(func() { f.tooLarge = 129 })
	d := f.open(t, nil)
	ctx := within(t, 10*time.Second)
	_, err := d.Read(ctx, driver.Dir("dir"))
	wantErr(t, "Read of too much", err, driver.ErrUnavailable, errFrameTooLarge)
	states, err := d.Read(ctx, driver.Dir("dir"))
	if err != nil || len(states[0]) != 200 {
		t.Errorf("Read again = %d entries, %v", len(states[0]), err)
	}
}
