package pages_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/counter"
	"github.com/quorate/quorate/election"
	"github.com/quorate/quorate/ids"
	"github.com/quorate/quorate/lock"
	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/partition"
	"github.com/quorate/quorate/quota"
	"github.com/quorate/quorate/restart"
)

const (
	name, escaped     = "billing/nightly", "billing%2Fnightly"
	member, memberKey = "pod 7", "pod%207"
)

// placeholders are what stands for a part of a key in the table.
var placeholders = strings.NewReplacer(
	"NAME", regexp.QuoteMeta(escaped), "ID", regexp.QuoteMeta(memberKey), "NONCE", "[A-Z0-9]+(-[0-9]+)?",
	"NUMBER", "[0-9]+", "SHARD", "[0-9]+", "PERMIT", "[0-9]+",
)

// office are the keys of elections and locks.
var office = regexp.MustCompile("/(election|mutex|semaphore|floor)/")

// TestEveryKeyHasItsRow uses each primitive and looks at what is in the store:
// each key has its row, which says how long it is kept and what is in it; and
// each row its key.
func TestEveryKeyHasItsRow(t *testing.T) {
	type rule struct {
		pattern   *regexp.Regexp
		ephemeral bool
		fields    []string
		seen      map[string]bool // of the fields
		matched   bool
	}
	rules := map[string]*rule{}
	for _, row := range table(t, "Key", "Kept", "Content") {
		key := only(t, row[0])
		rules[key] = &rule{
			pattern:   regexp.MustCompile("^" + backend.DefaultNamespace + "/" + placeholders.Replace(key) + "$"),
			ephemeral: strings.HasPrefix(row[1], "while "), fields: codes(row[2]), seen: map[string]bool{},
		}
	}
	kinds := map[string]bool{}
	synctest.Test(t, func(t *testing.T) {
		server := memory.NewServer()
		defer func() { leftAlone(t, kinds) }()
		useAll(t, server, func() {
			synctest.Wait()
			for _, entry := range server.Entries() {
				kinds[strings.Split(entry.Key, "/")[1]] = true
				var match *rule
				for _, r := range rules {
					if r.pattern.MatchString(entry.Key) {
						match = r
					}
				}
				if match == nil {
					t.Errorf("%s has no row", entry.Key)
					continue
				}
				match.matched = true
				if got := entry.Lease != ""; got != match.ephemeral {
					t.Errorf("%s goes with its session: %v; its row says %v", entry.Key, got, match.ephemeral)
				}
				var fields map[string]any
				want := 1.0
				if office.MatchString(entry.Key) {
					want = 2
				}
				if err := json.Unmarshal(entry.Value, &fields); err != nil || fields["format"] != want {
					t.Errorf("%s is %q, want JSON of format %v", entry.Key, entry.Value, want)
				}
				delete(fields, "format")
				for _, field := range slices.Sorted(maps.Keys(fields)) {
					match.seen[field] = true
					if !slices.Contains(match.fields, field) {
						t.Errorf("%s has the field %q, which its row lacks", entry.Key, field)
					}
				}
			}
		})
	})
	for key, r := range rules {
		if !r.matched {
			t.Errorf("no key is like %s", key)
			continue
		}
		for _, field := range r.fields {
			if !r.seen[field] {
				t.Errorf("%s: nobody wrote the field %q", key, field)
			}
		}
	}
}

// leftAlone: Store.Put refuses the keys of each kind.
func leftAlone(t *testing.T, kinds map[string]bool) {
	store, err := memory.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	for kind := range kinds {
		if err := store.Put(t.Context(), kind+"/a", nil); !errors.Is(err, backend.ErrInvalid) {
			t.Errorf("Put of a key of the kind %q = %v, want ErrInvalid", kind, err)
		}
	}
}

// node is a node number that goes with a leadership.
type node struct{ *election.Leadership }

func (node) Permit() int { return 7 }

// useAll uses all primitives and calls look while their keys are there.
func useAll(t *testing.T, server *memory.Server, look func()) {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	open := func() *backend.Store {
		store, err := memory.Open(server, nil)
		must(err)
		t.Cleanup(func() { must(store.Close()) })
		return store
	}
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)

	store := open()
	c, err := counter.New(store, name, nil)
	must(err)
	_, err = c.Add(ctx, 1)
	must(err)
	s, err := counter.NewSequence(store, name, nil)
	must(err)
	_, err = s.Next(ctx)
	must(err)
	must(s.Delete(ctx))
	must(s.Close())
	s, err = counter.NewSequence(store, name, nil)
	must(err)
	_, err = s.Next(ctx)
	must(err)
	must(s.Close())
	q, err := quota.New(store, name, 5, time.Hour, nil)
	must(err)
	_, err = q.Take(ctx, 1)
	must(err)
	tally, err := counter.NewTally(store, name, nil)
	must(err)
	tally.Add(1)
	must(tally.Close())

	e, err := election.New(store, name, &election.Options{Meta: map[string]string{"a": "b"}})
	must(err)
	lead, err := e.Campaign(ctx)
	must(err)
	generator, err := ids.New(store, name, node{lead}, nil)
	must(err)
	_, err = generator.Next(ctx)
	must(err)
	must(generator.Close())
	next, err := election.New(open(), name, nil)
	must(err)
	waiting, giveUp := context.WithCancel(ctx)
	gaveUp := make(chan struct{})
	go func() {
		defer close(gaveUp)
		if _, err := next.Campaign(waiting); !errors.Is(err, context.Canceled) {
			t.Errorf("Campaign = %v", err)
		}
	}()
	giveBack := useLocks(t, store, open())
	progress, err := restart.NewCheckpoint[int](store, name, nil)
	must(err)
	_, _, err = progress.Claim(ctx, lead.Guard())
	must(err)
	must(progress.Save(ctx, 1))

	// A session of its own, so that the member comes back with a later rank.
	other := open()
	group, err := membership.New(other, name, nil)
	must(err)
	reg, err := group.Join(ctx, membership.Member{ID: member, Addr: "10.0.0.7:80", Meta: map[string]string{"a": "b"}})
	must(err)
	p, err := partition.New(group, name, &partition.Options{Slots: 2, Restarts: 1, Zone: "z", Version: "1"})
	must(err)
	must(p.Cordon(ctx, "another"))
	must(p.Freeze(ctx, time.Now().Add(time.Second)))
	ran, drained := make(chan error, 1), make(chan struct{})
	working, leave := context.WithCancel(ctx)
	go func() {
		ran <- p.Run(working, reg, func(ctx context.Context, slot *partition.Slot) error {
			if slot.Number() == 0 {
				<-ctx.Done()
				if working.Err() != nil {
					<-drained
				}
			}
			return context.Cause(ctx) // the other is given up
		})
	}()
	time.Sleep(10 * time.Second)
	look()
	session, err := other.Session(ctx)
	must(err)
	server.Expire(session.ID())
	time.Sleep(10 * time.Second)
	look() // registered again
	leave()
	time.Sleep(time.Second)
	look() // draining
	close(drained)
	if err := <-ran; !errors.Is(err, context.Canceled) {
		t.Errorf("Run = %v", err)
	}
	must(reg.Leave(context.Background()))
	look()
	giveBack()
	giveUp()
	<-gaveUp
	useMoves(t, server, lead, look)
}

// useMoves has the leadership transferred to a candidate that cannot commit for a
// while, then a candidate with a priority joins, and look is called.
func useMoves(t *testing.T, server *memory.Server, lead *election.Leadership, look func()) {
	ctx, cancel := context.WithCancel(context.Background())
	shut := make(chan struct{})
	var campaigns sync.WaitGroup
	candidate := func(id string, priority int, d driver.Driver) {
		store, err := backend.New(d, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = store.Close() })
		e, err := election.New(store, name, &election.Options{ID: id, Priority: priority})
		if err != nil {
			t.Fatal(err)
		}
		campaigns.Go(func() {
			if lead, err := e.Campaign(ctx); err == nil {
				_ = lead.Resign(context.Background())
			}
		})
		time.Sleep(time.Second) // it has joined, or waits for its commit
		synctest.Wait()
	}
	gated := &gate{shut: shut}
	for _, id := range []string{"ahead", "successor"} {
		candidate(id, 0, gatedDriver{memory.NewDriver(server), gated})
	}
	gated.wait.Store(true)
	if err := lead.Transfer(t.Context(), "successor"); err != nil {
		t.Fatal(err)
	}
	candidate("high", 1, memory.NewDriver(server))
	look()
	cancel()
	close(shut)
	campaigns.Wait()
}

// gate holds up the commits of drivers while it waits, until shut is closed.
type gate struct {
	wait atomic.Bool
	shut chan struct{}
}

type gatedDriver struct {
	driver.Driver
	gate *gate
}

func (d gatedDriver) Commit(ctx context.Context, txn driver.Txn) (driver.Result, error) {
	if d.gate.wait.Load() {
		<-d.gate.shut
	}
	return d.Driver.Commit(ctx, txn)
}

// useLocks holds a mutex and a permit, for which another process waits.
func useLocks(t *testing.T, store, other *backend.Store) (giveBack func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	take := func(store *backend.Store) (all []func(context.Context) (*lock.Held, error)) {
		m, err := lock.NewMutex(store, name, nil)
		if err != nil {
			t.Fatal(err)
		}
		s, err := lock.NewSemaphore(store, name, 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		return append(all, m.Lock, s.Acquire)
	}
	var all []*lock.Held
	for _, lock := range take(store) {
		held, err := lock(ctx)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, held)
	}
	waiting := make(chan struct{}, 2)
	for _, lock := range take(other) {
		go func() {
			defer func() { waiting <- struct{}{} }()
			if _, err := lock(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("waiting for a lock = %v", err)
			}
		}()
	}
	return func() {
		cancel()
		for _, held := range all {
			<-waiting
			if err := held.Unlock(context.Background()); err != nil {
				t.Error(err)
			}
		}
	}
}
