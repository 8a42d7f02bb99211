// Package bridgetest tests bridges from backend.Trace to metrics systems, all
// alike: with a real Store whose session is lost, with more names than are
// bounded, and from many goroutines.
package bridgetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/election"
	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/partition"
)

// Bridge is what is tested.
type Bridge struct {
	Trace *backend.Trace
	// Read returns what is exported now. A key is the name of a metric as
	// OpenTelemetry has it, without "quorate.", and its labels sorted:
	// "owned{kind=election,name=a}". A histogram has two, name.count and
	// name.sum, and no other.
	Read func(t *testing.T) map[string]float64
}

// Run runs all tests on bridges made by open, which is told the bound of names,
// zero for the default.
func Run(t *testing.T, open func(t *testing.T, maxNames int) Bridge) {
	t.Run("store", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { overAStore(t, open(t, 0)) })
	})
	t.Run("events", func(t *testing.T) { everyEvent(t, open(t, 0)) })
	t.Run("names", func(t *testing.T) { bounded(t, open(t, 10)) })
	t.Run("concurrently", func(t *testing.T) { concurrently(t, open(t, 0)) })
}

// metrics are what was exported, to be asked.
type metrics struct {
	t    *testing.T
	when string
	all  map[string]float64
}

func (b Bridge) read(t *testing.T, when string) metrics {
	t.Helper()
	return metrics{t, when, b.Read(t)}
}

func (m metrics) want(key string, want float64) {
	m.t.Helper()
	if got := m.all[key]; got != want {
		m.t.Errorf("%s: %s is %v, want %v", m.when, key, got, want)
	}
}

// between checks a value that jitter makes vary.
func (m metrics) between(key string, low, high float64) {
	m.t.Helper()
	if got := m.all[key]; got < low || got > high {
		m.t.Errorf("%s: %s is %v, want %v to %v", m.when, key, got, low, high)
	}
}

// overAStore leads over a Store, through an outage that costs the session.
func overAStore(t *testing.T, b Bridge) {
	server := memory.NewServer()
	d := memory.NewDriver(server)
	store, err := backend.New(d, &backend.Options{Trace: b.Trace})
	must(t, err)
	defer func() { must(t, store.Close()) }()
	e, err := election.New(store, "a/b", nil)
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		_ = e.Run(ctx, func(ctx context.Context, _ *election.Leadership) error {
			<-ctx.Done()
			return context.Cause(ctx)
		})
	})
	// Window 9 s, renewals after a third of it, when 6 s are left.
	time.Sleep(31 * time.Second)
	m := b.read(t, "healthy")
	m.want("sessions.granted", 1)
	m.want("sessions.lost", 0)
	m.want("session.grant.duration.count", 1)
	m.want("session.renew.duration.count{result=counted}", 10)
	m.want("session.renew.lateness.sum", 0)
	m.want("session.trust_left.count", 10)
	m.want("session.trust_left.sum", 60)
	m.want("session.trust_left.last", 6)
	m.want("ownerships.began{kind=election,name=a/b}", 1)
	m.want("owned{kind=election,name=a/b}", 1)

	server.SetDown(true)
	time.Sleep(20 * time.Second)
	m = b.read(t, "in an outage")
	m.want("sessions.granted", 1)
	m.want("sessions.lost", 1)
	m.want("session.trust_left.last", 0)
	m.between("session.renewals.failed{error=unavailable,result=failed}", 2, 100)
	m.want("session.renew.duration.count{result=failed}", m.all["session.renewals.failed{error=unavailable,result=failed}"])
	m.between("retries{error=unavailable,kind=session,operation=grant}", 2, 1000)
	m.between("watches.restarted{error=unavailable}", 1, 1000)
	m.want("owned{kind=election,name=a/b}", 0)
	m.want("ownerships.ended{cause=session_lost,kind=election,name=a/b}", 1)
	m.want("ownership.duration.count{kind=election}", 1)
	m.between("ownership.duration.sum{kind=election}", 36, 40) // the window after the last renewal, at 30 s

	server.SetDown(false)
	time.Sleep(30 * time.Second)
	m = b.read(t, "after it")
	m.want("sessions.granted", 2)
	m.want("ownerships.began{kind=election,name=a/b}", 2)
	m.want("owned{kind=election,name=a/b}", 1)

	cancel()
	running.Wait()
	m = b.read(t, "told to end")
	m.want("owned{kind=election,name=a/b}", 0)
	m.want("ownerships.ended{cause=ended,kind=election,name=a/b}", 1)
	m.want("sessions.lost", 1)

	d.Mute()
	if _, err := store.Commit(t.Context(), backend.Txn{Ops: []backend.Op{driver.Create("x", nil)}}); !errors.Is(err, backend.ErrIndeterminate) {
		t.Fatalf("a commit without a reply: %v", err)
	}
	d.Heal()
	b.read(t, "a lost reply").want("commits.indeterminate", 1)
	slots(t, b, store)
}

// slots runs a partition.
func slots(t *testing.T, b Bridge, store *backend.Store) {
	group, err := membership.New(store, "g", nil)
	must(t, err)
	reg, err := group.Join(t.Context(), membership.Member{ID: "m"})
	must(t, err)
	p, err := partition.New(group, "p/q", &partition.Options{Slots: 3, DrainTimeout: time.Second})
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	release := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		_ = p.Run(ctx, reg, func(ctx context.Context, s *partition.Slot) error {
			<-ctx.Done()
			if s.Number() == 0 {
				<-release
			}
			return nil
		})
	})
	time.Sleep(10 * time.Second)
	m := b.read(t, "slots")
	m.want("owned{kind=partition,name=p/q}", 3)
	m.want("ownerships.began{kind=partition,name=p/q}", 3)
	cancel()
	time.Sleep(1500 * time.Millisecond)
	m = b.read(t, "a slot that overruns")
	m.want("owned{kind=partition,name=p/q}", 1)
	m.want("bodies.overran{kind=partition,name=p/q}", 1)
	close(release)
	running.Wait()
	m = b.read(t, "slots ended")
	m.want("owned{kind=partition,name=p/q}", 0)
	m.want("ownerships.ended{cause=ended,kind=partition,name=p/q}", 3)
	m.want("ownership.duration.count{kind=partition}", 3)
	must(t, reg.Leave(t.Context()))
	must(t, group.Close())
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// forbidden is in what events tell, and must be in no label.
const forbidden = "SECRET-0451"

// everyEvent calls each field once, with all in it that has no bound.
func everyEvent(t *testing.T, b Bridge) {
	err := fmt.Errorf("%w: %s", backend.ErrDenied, forbidden)
	tr := b.Trace
	tr.SessionGranted(backend.SessionGranted{Session: forbidden, TTL: time.Second, Took: 2 * time.Second})
	tr.SessionRenewed(backend.SessionRenewed{Session: forbidden, TrustLeft: 4 * time.Second, Late: 2 * time.Second, Took: time.Second})
	tr.SessionRenewFailed(backend.SessionRenewFailed{Session: forbidden, TrustLeft: -time.Second, Late: 3 * time.Second, Took: time.Second, Answered: true, Err: err})
	m := b.read(t, "renewals")
	m.want("session.grant.duration.sum", 2)
	m.want("session.renew.lateness.sum", 5)
	m.want("session.renew.duration.sum{result=counted}", 1)
	m.want("session.renew.duration.sum{result=unproved}", 1)
	m.want("session.renewals.failed{error=denied,result=unproved}", 1)
	m.want("session.trust_left.sum", 3)
	m.want("session.trust_left.last", 0)
	tr.SessionLost(backend.SessionLost{Session: forbidden, Cause: err})
	tr.CommitIndeterminate(backend.CommitIndeterminate{Keys: []string{forbidden}, Err: err})
	tr.Retrying(backend.Retrying{Operation: "reconcile", Kind: backend.KindPartition, Name: forbidden, Attempt: 451, Pause: time.Second, Err: err})
	tr.Retrying(backend.Retrying{Err: errors.New(forbidden)})
	tr.WatchRestarted(backend.WatchRestarted{Target: driver.Key(forbidden), Err: err})
	owned := backend.Ownership{Kind: "partition", Name: "p", Slot: 451, Token: 451, Body: err}
	tr.OwnershipBegan(owned)
	owned.Cause = errors.New(forbidden)
	tr.BodyOverran(backend.BodyOverran{Ownership: owned, For: time.Minute})
	tr.OwnershipEnded(owned)
	m = b.read(t, "every event")
	for key, want := range map[string]float64{
		"sessions.lost": 1, "commits.indeterminate": 1, "watches.restarted{error=denied}": 1,
		"retries{error=denied,kind=partition,operation=reconcile}": 1, "retries{error=other,kind=other,operation=other}": 1,
		"ownerships.began{kind=partition,name=p}": 1, "ownerships.ended{cause=other,kind=partition,name=p}": 1,
		"owned{kind=partition,name=p}": 0, "bodies.overran{kind=partition,name=p}": 1, "ownership.duration.count{kind=partition}": 1,
	} {
		m.want(key, want)
	}
	for _, key := range slices.Sorted(maps.Keys(m.all)) {
		if strings.Contains(key, forbidden) || strings.Contains(key, "451") {
			t.Errorf("%s: a label has what has no bound", key)
		}
	}
}

// bounded owns more than there may be names.
func bounded(t *testing.T, b Bridge) {
	const many = 1000
	for round := range 3 { // of began, of ended, and of began again
		for i := range many {
			o := backend.Ownership{Kind: "election", Name: fmt.Sprint("e", i), Token: uint64(round/2 + 1)}
			if round == 1 {
				o.Cause = election.ErrResigned
				b.Trace.OwnershipEnded(o)
			} else {
				b.Trace.OwnershipBegan(o)
			}
		}
		m := b.read(t, fmt.Sprint("round ", round))
		sum, names := 0.0, 0
		for key, value := range m.all {
			if strings.HasPrefix(key, "owned{") {
				names++
				sum += value
				if value < 0 {
					t.Errorf("round %d: %s is %v", round, key, value)
				}
			}
		}
		if want := float64(many * ((round + 1) % 2)); sum != want || names != 11 {
			t.Errorf("round %d: %v are owned under %d names, want %v under 10 and other", round, sum, names, want)
		}
		if len(m.all) > 100 {
			t.Errorf("round %d: %d series", round, len(m.all))
		}
	}
}

// concurrently calls back from many goroutines while the metrics are read.
func concurrently(t *testing.T, b Bridge) {
	const goroutines, times = 8, 200
	var calling, reading sync.WaitGroup
	done := make(chan struct{})
	reading.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				b.Read(t)
			}
		}
	})
	for g := range goroutines {
		calling.Go(func() {
			for i := range times {
				o := backend.Ownership{Kind: "election", Name: fmt.Sprint(i % 7), Token: uint64(g*times + i)}
				b.Trace.OwnershipBegan(o)
				b.Trace.SessionRenewed(backend.SessionRenewed{TrustLeft: time.Second})
				b.Trace.Retrying(backend.Retrying{Operation: "commit", Kind: backend.KindCounter, Name: "x"})
				o.Cause = election.ErrResigned
				b.Trace.OwnershipEnded(o)
			}
		})
	}
	calling.Wait()
	close(done)
	reading.Wait()
	m := b.read(t, "at the end")
	began := 0.0
	for i := range 7 {
		labels := fmt.Sprintf("{kind=election,name=%d}", i)
		began += m.all["ownerships.began"+labels]
		m.want("owned"+labels, 0)
	}
	if began != goroutines*times {
		t.Errorf("%v began, want %d", began, goroutines*times)
	}
	m.want("session.trust_left.count", goroutines*times)
	m.want("ownership.duration.count{kind=election}", goroutines*times)
	m.want("retries{error=none,kind=counter,operation=commit}", goroutines*times)
}
