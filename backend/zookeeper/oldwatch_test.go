package zookeeper

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/quorate/quorate/backend/driver"
)

// tree is what the fake answers reads from.
type tree struct {
	mu    sync.Mutex
	zxid  int64
	nodes map[string]string // data by path
	born  map[string]int64
}

func (tr *tree) set(name, value string) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.zxid++
	if _, ok := tr.nodes[name]; !ok {
		tr.born[name] = tr.zxid
	}
	tr.nodes[name] = value
}

func (tr *tree) remove(name string) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.zxid++
	delete(tr.nodes, name)
}

// plant makes a fake answer from a tree.
func (f *fake) plant() *tree {
	tr := &tree{nodes: make(map[string]string), born: make(map[string]int64)}
	f.set(func() { f.answer = tr.answer })
	return tr
}

func (tr *tree) answer(op int32, body []byte) (int32, []byte, reaction) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if op != opGetData && op != opGetChildren2 && op != opExists {
		return 0, nil, usual
	}
	name := path(body)
	value, ok := tr.nodes[name]
	switch {
	case name == "/":
		return 0, nil, usual
	case !ok:
		return codeNoNode, nil, told
	case op == opExists:
		return 0, stat(tr.born[name], 0), told
	case op == opGetData:
		return 0, data(value, tr.born[name]), told
	}
	var names []string
	for other := range tr.nodes {
		if child, ok := strings.CutPrefix(other, name+"/"); ok && !strings.Contains(child, "/") {
			names = append(names, child)
		}
	}
	b := binary.BigEndian.AppendUint32(nil, uint32(len(names)))
	for _, child := range names {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(child))), child...)
	}
	return 0, append(b, stat(tr.zxid, 0)...), told
}

// Catches: a watch that reads everything again when a child goes while it reads
// for the first time. Where hundreds of processes come back at once that takes
// seconds, in which more goes, and it never came to an end.
func TestWatchKeepsWhatItHasRead(t *testing.T) {
	const children = 40
	f := startFake(t)
	f.old = true
	tr := f.plant()
	tr.set("/dir", "")
	for i := range children {
		tr.set(fmt.Sprintf("/dir/%02d", i), "=")
	}
	f.set(func() {
		f.answer = func(op int32, body []byte) (int32, []byte, reaction) {
			if op == opGetData && path(body) < "/dir/03" {
				tr.remove(path(body))
			}
			return tr.answer(op, body)
		}
	})
	d := f.open(t, nil)
	ctx, cancel := context.WithCancel(within(t, 5*time.Second))
	err := d.Watch(ctx, driver.Dir("dir"), func(entries []driver.Entry) {
		if len(entries) != children-3 {
			t.Errorf("%d entries, want %d", len(entries), children-3)
		}
		cancel()
	})
	wantErr(t, "Watch", err, context.Canceled)
	if n := f.count(opGetData); n != children {
		t.Errorf("%d reads of %d children", n, children)
	}
}

// TestWatchSetsOnce: watching the same again and again sets no further watch,
// and one that fired is set again.
func TestWatchSetsOnce(t *testing.T) {
	f := startFake(t)
	f.old = true
	tr := f.plant()
	tr.set("/dir", "")
	tr.set("/dir/a", "=0")
	d := f.open(t, nil)
	sets := func() (n int) {
		f.set(func() {
			for _, op := range []int32{opGetData, opGetChildren2, opExists} {
				for _, body := range f.bodies[op] {
					n += int(body[len(body)-1]) // whether to watch
				}
			}
		})
		return n
	}
	for range 20 {
		for _, target := range []driver.Target{driver.Key("dir/a"), driver.Dir("dir"), driver.Key("none"), driver.Dir("nowhere")} {
			ctx, cancel := context.WithCancel(within(t, 5*time.Second))
			if err := d.Watch(ctx, target, func([]driver.Entry) { cancel() }); !errors.Is(err, context.Canceled) {
				t.Fatalf("Watch of %v: %v", target, err)
			}
		}
	}
	// One for the key, one for the names; each absent one is asked for what it
	// should show before it is asked whether it is there.
	if n := sets(); n != 2+2*2 {
		t.Errorf("watches were asked for %d times, want 6", n)
	}

	states := make(chan []driver.Entry, 10)
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(within(t, 10*time.Second))
	defer cancel()
	go func() { ended <- d.Watch(ctx, driver.Dir("dir"), func(e []driver.Entry) { states <- e }) }()
	await := func(want string) {
		t.Helper()
		for {
			select {
			case e := <-states:
				var got []string
				for _, one := range e {
					got = append(got, one.Key+"="+string(one.Value))
				}
				if fmt.Sprint(got) == want {
					return
				}
			case err := <-ended:
				t.Fatalf("Watch: %v, before %s", err, want)
			}
		}
	}
	await("[dir/a=0]")
	for i := range 3 {
		before := f.count(opGetData)
		tr.set("/dir/b", fmt.Sprint("=", i))
		if i == 0 {
			f.event(zk.EventNodeChildrenChanged, "/dir")
		} else {
			f.event(zk.EventNodeDataChanged, "/dir/b")
		}
		await(fmt.Sprintf("[dir/a=0 dir/b=%d]", i))
		if n := f.count(opGetData) - before; n != 1 {
			t.Errorf("%d keys were read for one that changed", n)
		}
	}
	// On a new connection everything is read again, events or not.
	tr.set("/dir/a", "=1")
	f.cut()
	await("[dir/a=1 dir/b=2]")
	cancel()
	wantErr(t, "Watch", <-ended, context.Canceled)
}

// TestListReadsAgain: a name whose node is another by the time it is read does
// not belong to the instant at which it was listed.
func TestListReadsAgain(t *testing.T) {
	f := startFake(t)
	tr := f.plant()
	tr.set("/dir", "")
	tr.set("/dir/a", "=0")
	var once sync.Once
	f.set(func() {
		f.answer = func(op int32, body []byte) (int32, []byte, reaction) {
			if op == opGetData && path(body) == "/dir/a" {
				once.Do(func() { // moved, and put back, by two commits
					tr.mu.Lock()
					delete(tr.nodes, "/dir/a")
					tr.mu.Unlock()
					tr.set("/dir/b", "=0")
					tr.set("/dir/a", "=1")
				})
			}
			return tr.answer(op, body)
		}
	})
	d := f.open(t, nil)
	all, err := d.Read(within(t, 5*time.Second), driver.Dir("dir"))
	if err != nil || len(all[0]) != 2 {
		t.Errorf("Read = %v, %v; want both keys: there was no instant with the new a alone", all, err)
	}
}

// TestIdleWatches: a watch cannot be taken back, so a connection with too many
// that nobody needs is given up.
func TestIdleWatches(t *testing.T) {
	f := startFake(t)
	f.old = true
	f.plant()
	d := f.open(t, nil)
	readSoon(t, d)
	c := d.common.present()
	ctx := within(t, 20*time.Second)
	for i := range maxIdle {
		c.watches.mu.Lock()
		c.watches.set[watchPoint{path: fmt.Sprint("/", i)}] = 1
		c.watches.mu.Unlock()
	}
	for i := range 4 {
		once, cancel := context.WithCancel(ctx)
		if err := d.Watch(once, driver.Key(fmt.Sprint("k", i)), func([]driver.Entry) { cancel() }); !errors.Is(err, context.Canceled) {
			t.Fatalf("Watch: %v", err)
		}
	}
	if c.net.alive() {
		t.Error("the connection with the idle watches is still in use")
	}
	readSoon(t, d)
}
