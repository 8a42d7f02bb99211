package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/quorate/quorate/backend/driver"
)

// watching is a Watch of a directory or a key that runs until the test ends.
type watching struct {
	t      testing.TB
	states chan string
	stop   context.CancelFunc
	ended  chan error
}

func watchOf(t testing.TB, d *Driver, target driver.Target) *watching {
	t.Helper()
	ctx, cancel := context.WithCancel(within(t, 30*time.Second))
	w := &watching{t: t, states: make(chan string, 10_000), stop: cancel, ended: make(chan error, 1)}
	go func() {
		w.ended <- d.Watch(ctx, target, func(entries []driver.Entry) { w.states <- show(target.Path, entries) })
	}()
	return w
}

func show(dir string, entries []driver.Entry) string {
	var all []string
	for _, e := range entries {
		all = append(all, strings.TrimPrefix(e.Key, dir+"/")+"="+string(e.Value))
	}
	slices.Sort(all)
	return fmt.Sprint(all)
}

// await waits for a state, and returns those before it.
func (w *watching) await(want string) (before []string) {
	w.t.Helper()
	for {
		select {
		case got := <-w.states:
			if got == want {
				return before
			}
			before = append(before, got)
		case err := <-w.ended:
			w.t.Fatalf("Watch = %v, before %.200s; it showed %.200q", err, want, before)
		}
	}
}

func (w *watching) end() {
	w.t.Helper()
	w.stop()
	wantErr(w.t, "Watch", <-w.ended, context.Canceled)
}

// group fills a directory.
func (fo *forest) group(dir string, n int) {
	fo.commit(func(c *change) {
		for i := range n {
			c.set(fmt.Sprintf("%s/member-%05d~0123456789abcdef0123456789abcdef", dir, i), "="+strings.Repeat("v", 100))
		}
	})
}

// TestGroupOfThousand: a change in a large group costs one request and less
// than 1 KB, a reconnect four requests.
func TestGroupOfThousand(t *testing.T) {
	f := startFake(t)
	fo := f.forest("/dir")
	fo.group("/dir", 1000)
	var bytes atomic.Int64
	d := f.open(t, &Options{Tick: time.Second, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		return counted{conn, &bytes}, err
	}})
	since := f.requests()
	w := watchOf(t, d, driver.Dir("dir"))
	w.await(fo.state("/dir"))
	wantRequests(t, "the first state", since(),
		map[int32]int{opMultiRead: 1 + 1, opMulti: 1, opAddWatch: 1, opGetChildren2: 1}) // and the probe
	for name, change := range map[string]func(*change){
		"a put": func(c *change) {
			c.set("/dir/member-00007~0123456789abcdef0123456789abcdef", "="+strings.Repeat("w", 100))
		},
		"a create": func(c *change) { c.set("/dir/member-x~0123456789abcdef0123456789abcdef", "="+strings.Repeat("w", 100)) },
		"a delete": func(c *change) { c.remove("/dir/member-00008~0123456789abcdef0123456789abcdef") },
	} {
		since, before := f.requests(), bytes.Load()
		fo.commit(change)
		w.await(fo.state("/dir"))
		wantRequests(t, name, since(), map[int32]int{opMultiRead: 1})
		if cost := bytes.Load() - before; cost > 1024 {
			t.Errorf("%s costs %d bytes, want at most 1,024", name, cost)
		} else {
			t.Logf("%s costs %d bytes", name, cost)
		}
	}
	fo.silent = true // while it is away
	fo.commit(func(c *change) {
		c.set("/dir/member-00010~0123456789abcdef0123456789abcdef", "=w")
		c.remove("/dir/member-00011~0123456789abcdef0123456789abcdef")
	})
	fo.silent = false
	since = f.requests()
	f.cut()
	w.await(fo.state("/dir"))
	wantRequests(t, "a reconnect", since(), map[int32]int{opMulti: 1, opAddWatch: 1, opGetChildren2: 1, opMultiRead: 1})
	w.end()
}

// TestWatchShowsWholeCommits: a commit that moves a key from one name to
// another is never seen half, whatever else happens.
func TestWatchShowsWholeCommits(t *testing.T) {
	f := startFake(t)
	fo := f.forest("/dir")
	fo.commit(func(c *change) { c.set("/dir/0", "=v") })
	d := f.open(t, nil)
	w := watchOf(t, d, driver.Dir("dir"))
	w.await("[0=v]")
	for i := range 300 {
		fo.slow = i%10 == 0
		fo.commit(func(c *change) { c.remove(fmt.Sprint("/dir/", i)); c.set(fmt.Sprint("/dir/", i+1), "=v") })
		if i%7 == 0 {
			time.Sleep(time.Duration(rand.IntN(300)) * time.Microsecond)
		}
	}
	for _, state := range w.await("[300=v]") {
		if strings.Count(state, "=") != 1 {
			t.Errorf("a state has %s, half of a commit", state)
		}
	}
	w.end()
}

// TestWatchReadsAnotherNode: a node that is another by the time its value is
// read does not belong to the instant at which its name was listed.
func TestWatchReadsAnotherNode(t *testing.T) {
	f := startFake(t)
	fo := f.forest("/dir")
	fo.commit(func(c *change) { c.set("/dir/a", "=0") })
	var moved atomic.Bool
	f.set(func() {
		f.answer = func(op int32, body []byte) (int32, []byte, reaction) {
			if op == opGetData && path(body) == "/dir/a" && moved.CompareAndSwap(false, true) {
				fo.within(func(c *change) { c.remove("/dir/a"); c.set("/dir/b", "=0") })
				fo.within(func(c *change) { c.set("/dir/a", "=1") })
			}
			return fo.answer(op, body)
		}
	})
	d := f.open(t, nil)
	w := watchOf(t, d, driver.Dir("dir"))
	if before := w.await("[a=1 b=0]"); len(before) > 0 {
		t.Errorf("states %q come first; there was no instant with the new a alone", before)
	}
	w.end()
}

// TestWatchOfRandomChanges: whatever changes, and however late or not at all
// it is told, each state shows the names of one instant and the last is shown.
func TestWatchOfRandomChanges(t *testing.T) {
	for _, how := range []string{"told at once", "told late", "half is lost"} {
		t.Run(how, func(t *testing.T) {
			f := startFake(t)
			fo := f.forest("/dir")
			d := f.open(t, nil)
			w := watchOf(t, d, driver.Dir("dir"))
			w.await("[]")
			fo.late = how == "told late"
			seen := map[string]bool{names(fo.state("/dir")): true}
			for range 400 {
				fo.silent = how == "half is lost" && rand.IntN(2) == 0
				fo.commit(func(c *change) {
					for range 1 + rand.IntN(3) {
						name := fmt.Sprint("/dir/", rand.IntN(6))
						if fo.nodes[name] != nil && rand.IntN(3) > 0 {
							c.remove(name)
						} else {
							c.set(name, fmt.Sprint("=", rand.IntN(1000)))
						}
					}
				})
				seen[names(fo.state("/dir"))] = true
				if rand.IntN(4) == 0 {
					fo.tell(rand.IntN(20))
				}
			}
			fo.silent = false
			fo.tell(1 << 20)
			fo.late = false
			// One that is told for certain, whatever was lost.
			fo.commit(func(c *change) { c.set("/dir/last", "=v") })
			want := fo.state("/dir")
			if how == "half is lost" { // a put that was lost is found when everything is read again
				for done := false; !done; {
					fo.commit(func(c *change) { c.set("/dir/last", "=v"); c.event(zk.EventNodeCreated, "/dir/last") })
					select {
					case got := <-w.states:
						done = got == want
					case <-time.After(time.Millisecond):
					}
				}
				w.end()
				return
			}
			seen[names(want)] = true
			for _, state := range w.await(want) {
				if !seen[names(state)] {
					t.Errorf("the names %s were never those of the directory", names(state))
				}
			}
			w.end()
		})
	}
}

// names leaves the values out of a state.
func names(state string) string {
	all := strings.Fields(strings.Trim(state, "[]"))
	for i := range all {
		all[i], _, _ = strings.Cut(all[i], "=")
	}
	return fmt.Sprint(all)
}

// TestWatchFindsWhatWasLost: events that did not come are noticed with the next
// that does, and at the latest when everything is read again.
func TestWatchFindsWhatWasLost(t *testing.T) {
	f := startFake(t)
	fo := f.forest("/dir")
	fo.group("/dir", 50)
	d := f.open(t, nil)
	w := watchOf(t, d, driver.Dir("dir"))
	w.await(fo.state("/dir"))
	fo.silent = true
	fo.commit(func(c *change) { c.set("/dir/lost", "=v") })
	fo.silent = false
	fo.commit(func(c *change) { c.set("/dir/told", "=v") })
	w.await(fo.state("/dir"))
	w.end()

	d.relist = 50 * time.Millisecond
	w = watchOf(t, d, driver.Dir("dir"))
	k := watchOf(t, d, driver.Key("dir/lost"))
	w.await(fo.state("/dir"))
	k.await("[dir/lost=v]")
	fo.silent = true
	fo.commit(func(c *change) { c.set("/dir/lost", "=w") })
	w.await(fo.state("/dir"))
	k.await("[dir/lost=w]")
	w.end()
	k.end()
}

// TestDirectoryComesAndGoes: a watch of a directory that is not there yet sees
// it come, go and come again.
func TestDirectoryComesAndGoes(t *testing.T) {
	f := startFake(t)
	fo := f.forest("/other")
	d := f.open(t, nil)
	w, k := watchOf(t, d, driver.Dir("dir")), watchOf(t, d, driver.Key("dir/a"))
	w.await("[]")
	k.await("[]")
	for i := range 3 {
		fo.commit(func(c *change) { c.set("/dir", ""); c.set("/dir/a", fmt.Sprint("=", i)) })
		w.await(fmt.Sprintf("[a=%d]", i))
		k.await(fmt.Sprintf("[dir/a=%d]", i))
		since := f.requests()
		fo.commit(func(c *change) { c.remove("/dir/a") })
		k.await("[]")
		w.await("[]")
		wantRequests(t, "a delete", since(), map[int32]int{opMultiRead: 1}) // of the directory; the key costs none
		fo.commit(func(c *change) { c.remove("/dir") })
	}
	w.end()
	k.end()
}

// TestWatchesAreTakenBack: what nobody watches any more is not watched at the
// server, and one who comes as another goes is not left without.
func TestWatchesAreTakenBack(t *testing.T) {
	f := startFake(t)
	fo := f.forest("/dir")
	d := f.open(t, nil)
	for i := range 50 {
		first, second := watchOf(t, d, driver.Dir("dir")), watchOf(t, d, driver.Dir("dir"))
		first.await(fo.state("/dir"))
		second.await(fo.state("/dir"))
		go first.stop()
		third := watchOf(t, d, driver.Dir("dir"))
		third.await(fo.state("/dir"))
		go second.stop()
		fo.commit(func(c *change) { c.set("/dir/a", fmt.Sprint("=", i)) })
		third.await(fo.state("/dir"))
		third.end()
		<-first.ended
		<-second.ended
	}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		var set []string
		f.set(func() {
			for _, paths := range f.conns {
				for p := range paths {
					set = append(set, p)
				}
			}
		})
		if len(set) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("still watched: %v", set)
		}
	}
}

// TestSubscriberFarBehind: one who does not keep up reads everything again.
func TestSubscriberFarBehind(t *testing.T) {
	var table treeTable
	table.init(nil)
	s := table.subscribe("/dir")
	for i := range maxEvents + 5 {
		table.event(zk.Event{Type: zk.EventNodeDataChanged, Path: fmt.Sprint("/dir/", i)})
	}
	if events, overflow := table.take(s); len(events) != 0 || !overflow {
		t.Errorf("%d events, overflow %v", len(events), overflow)
	}
	table.event(zk.Event{Type: zk.EventNodeChildrenChanged, Path: "/dir"}) // of another kind of watch
	table.event(zk.Event{Type: zk.EventNodeCreated, Path: "/dir/sub/deep"})
	table.event(zk.Event{Type: zk.EventNodeCreated, Path: "/dir/a"})
	if events, overflow := table.take(s); len(events) != 1 || overflow || events[0].name != "a" {
		t.Errorf("events %v, overflow %v; want that of a", events, overflow)
	}
	w := &treeWatch{names: map[string]*child{}, there: true, agreed: true}
	if w.apply(nil, true); !w.doubt {
		t.Error("events that were dropped raise no doubt")
	}
}

// TestWatchWithoutPermission: what may not be read ends a watch.
func TestWatchWithoutPermission(t *testing.T) {
	f := startFake(t)
	fo := f.forest("/dir")
	fo.commit(func(c *change) { c.set("/dir/a", "=v") })
	d := f.open(t, nil)
	w := watchOf(t, d, driver.Dir("dir"))
	w.await("[a=v]")
	f.set(func() {
		f.answer = func(op int32, body []byte) (int32, []byte, reaction) {
			if op == opGetData && path(body) == "/dir/a" {
				return codeNoAuth, nil, told
			}
			return fo.answer(op, body)
		}
	})
	fo.commit(func(c *change) { c.set("/dir/a", "=w") })
	if err := <-w.ended; !errors.Is(err, driver.ErrDenied) || !errors.Is(err, zk.ErrNoAuth) {
		t.Errorf("Watch = %v, want ErrDenied", err)
	}
}
