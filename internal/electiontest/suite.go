// Package electiontest is the test suite of package election that runs on
// every store: the scenarios hold for any driver that passes drivertest, whose
// environment they use.
package electiontest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/drivertest"
	"github.com/quorate/quorate/election"
)

// Scenario is one test.
type Scenario struct {
	Name string
	Run  func(t *testing.T, env *drivertest.Env)
}

// Scenarios returns all tests.
func Scenarios() []Scenario {
	return []Scenario{
		{"lead-and-resign", leadAndResign},
		{"served-in-order", servedInOrder},
		{"cancelled-campaign-leaves-no-key", cancelledCampaign},
		{"cancelled-campaign-with-lost-reply", cancelledWithLostReply},
		{"guard-refuses-old-term", guardRefusesOldTerm},
		{"observe", observe},
		{"thousand-hand-overs", thousandHandOvers},
		{"one-wakes-of-64", oneWakesOf64},
		{"hundred-elections-at-rest", hundredAtRest},
		{"names-that-change", namesThatChange},
		{"transferred", transferred},
		{"transferred-from-run", transferredFromRun},
		{"preferred", preferred},
		{"unhealthy", unhealthy},
		{"silenced-leader", silencedLeader},
		{"muted-leader", mutedLeader},
		{"cut-and-healed-leader-stays", cutAndHealed},
		{"lease-ended-at-the-store", leaseEnded},
		{"session-lost-while-waiting", sessionLostWhileWaiting},
		{"store-away-at-the-start", storeAwayAtStart},
		{"close-while-leading-on-a-dead-store", closeOnDeadStore},
		{"resign-in-an-outage", resignInOutage},
		{"keys-deleted-by-hand", keysDeletedByHand},
		{"keys-deleted-by-hand-strict", keysDeletedByHandStrict},
		{"wiped", wiped},
		{"restored", restored},
		{"strict-waits-after-a-crash", strictWaits},
	}
}

// Run runs all tests in real time, each in an environment of its own.
func Run(t *testing.T, factory drivertest.Factory) {
	for _, s := range Scenarios() {
		t.Run(s.Name, func(t *testing.T) { s.Run(t, factory(t)) })
	}
}

// slack is what a busy machine may add to anything.
const slack = 2 * time.Second

// process is one process's Store, with what the tests need to know of it.
type process struct {
	*backend.Store
	spy *spy
	env *drivertest.Env
}

func open(t testing.TB, env *drivertest.Env) *process {
	t.Helper()
	return openFor(t, env, env.TTL)
}

// openFor is open with a TTL, for a scenario that needs many sessions and loses none
// of them: 64 that are renewed each second are too many for a busy machine.
func openFor(t testing.TB, env *drivertest.Env, ttl time.Duration) *process {
	t.Helper()
	s := &spy{Driver: env.Open(t)}
	store, err := backend.New(s, &backend.Options{
		Namespace: env.Prefix, TTL: ttl, CallTimeout: 3 * time.Second, CloseTimeout: 3 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return &process{Store: store, spy: s, env: env}
}

func (p *process) candidate(t testing.TB, opts *election.Options) *election.Election {
	t.Helper()
	e, err := election.New(p.Store, "e", opts)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func campaign(t testing.TB, e *election.Election) *election.Leadership {
	t.Helper()
	lead, err := e.Campaign(t.Context())
	if err != nil {
		t.Fatalf("Campaign: %v", err)
	}
	return lead
}

func resign(t testing.TB, lead *election.Leadership) {
	t.Helper()
	if err := lead.Resign(t.Context()); err != nil {
		t.Errorf("Resign of term %d: %v", lead.Term(), err)
	}
}

// inBackground starts to campaign; the channel yields the leadership.
func inBackground(t testing.TB, e *election.Election) <-chan *election.Leadership {
	won := make(chan *election.Leadership, 1)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if lead, err := e.Campaign(ctx); err == nil {
			won <- lead
		} else if ctx.Err() == nil {
			t.Errorf("Campaign: %v", err)
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return won
}

// within waits for c, at most d and some slack.
func within[T any](t testing.TB, d time.Duration, what string, c <-chan T) (v T) {
	t.Helper()
	timer := time.NewTimer(d + slack)
	defer timer.Stop()
	select {
	case v = <-c:
	case <-timer.C:
		t.Fatalf("not within %v: %s", d, what)
	}
	return v
}

// eventually waits until check returns nil, at most d and some slack.
func eventually(t testing.TB, d time.Duration, what string, check func() error) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(d + slack)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s: %v", d, what, err)
		}
		<-tick.C
	}
}

// ephemeral lists the queue entries and the leader key of the election "e".
func (p *process) ephemeral(ctx context.Context) ([]string, error) {
	read, err := p.Read(ctx, driver.Dir("election/e/queue"), driver.Key("election/e/tenure/leader"))
	var keys []string
	for _, entries := range read {
		for _, e := range entries {
			keys = append(keys, e.Key)
		}
	}
	return keys, err
}

// queued waits until n processes lead or wait in the queue.
func (p *process) queued(t testing.TB, n int) {
	t.Helper()
	eventually(t, 30*time.Second, fmt.Sprintf("%d lead or wait", n), func() error {
		keys, err := p.ephemeral(t.Context())
		if err == nil && len(keys) != n {
			err = fmt.Errorf("%d do", len(keys))
		}
		return err
	})
}

func (p *process) nothingLeft(t testing.TB, d time.Duration) {
	t.Helper()
	eventually(t, d, "nothing is left in the store", func() error {
		keys, err := p.ephemeral(t.Context())
		if err == nil && len(keys) > 0 {
			err = fmt.Errorf("%v is", keys)
		}
		return err
	})
}

// lost checks that the leadership ends in time, as lost.
func lost(t testing.TB, d time.Duration, lead *election.Leadership) {
	t.Helper()
	within(t, d, "the leadership ends", lead.Context().Done())
	if cause := context.Cause(lead.Context()); !errors.Is(cause, election.ErrLost) {
		t.Errorf("the leadership ended with %v, want ErrLost", cause)
	}
	if lead.Valid() {
		t.Error("a lost leadership is valid")
	}
}
