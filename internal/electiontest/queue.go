package electiontest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/drivertest"
	"github.com/quorate/quorate/election"
)

func leadAndResign(t *testing.T, env *drivertest.Env) {
	p := open(t, env)
	e := p.candidate(t, &election.Options{ID: "me", Meta: map[string]string{"addr": "here"}})
	if _, err := e.Leader(t.Context()); !errors.Is(err, election.ErrNoLeader) {
		t.Errorf("Leader before any = %v, want ErrNoLeader", err)
	}
	var last uint64
	for range 3 {
		lead := campaign(t, e)
		if lead.Term() <= last {
			t.Errorf("term %d after %d", lead.Term(), last)
		}
		last = lead.Term()
		if err := lead.Confirm(t.Context()); err != nil || !lead.Valid() {
			t.Errorf("Confirm = %v, Valid = %v", err, lead.Valid())
		}
		leader, err := open(t, env).candidate(t, nil).Leader(t.Context())
		if err != nil || leader.ID != "me" || leader.Meta["addr"] != "here" || leader.Term != last {
			t.Errorf("Leader = %+v, %v", leader, err)
		}
		resign(t, lead)
	}
	p.nothingLeft(t, 0)
}

func servedInOrder(t *testing.T, env *drivertest.Env) {
	first := open(t, env)
	lead := campaign(t, first.candidate(t, nil))
	const n = 8
	var won [n]<-chan *election.Leadership
	for i := range n {
		won[i] = inBackground(t, open(t, env).candidate(t, nil))
		first.queued(t, i+2)
	}
	for i := range n {
		term := lead.Term()
		resign(t, lead)
		if lead = within(t, 5*time.Second, fmt.Sprintf("candidate %d leads", i), won[i]); lead.Term() <= term {
			t.Errorf("term %d after %d", lead.Term(), term)
		}
	}
	resign(t, lead)
}

// cancelledCampaign cancels campaigns at many moments.
func cancelledCampaign(t *testing.T, env *drivertest.Env) {
	p, q := open(t, env), open(t, env)
	lead := campaign(t, p.candidate(t, nil))
	e := q.candidate(t, nil)
	for i := range 20 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*500*time.Microsecond)
		if _, err := e.Campaign(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Campaign = %v, want the cause of its context's end", err)
		}
		cancel()
	}
	p.queued(t, 1)
	resign(t, lead)
	for i := range 20 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*500*time.Microsecond)
		if lead, err := e.Campaign(ctx); err == nil {
			resign(t, lead)
		} else if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Campaign = %v, want the cause of its context's end", err)
		}
		cancel()
	}
	p.nothingLeft(t, 2*time.Second)
}

// cancelledWithLostReply: the create of the queue entry is applied, but its
// reply never comes, nor does that of the clean-up.
func cancelledWithLostReply(t *testing.T, env *drivertest.Env) {
	p, q := open(t, env), open(t, env)
	if _, err := q.Session(t.Context()); err != nil {
		t.Fatal(err)
	}
	env.Mute(t, q.spy.Driver)
	ctx, cancel := context.WithTimeout(t.Context(), env.TTL/8)
	defer cancel()
	if _, err := q.candidate(t, nil).Campaign(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Campaign = %v, want the cause of its context's end", err)
	}
	env.Heal(t, q.spy.Driver)
	p.nothingLeft(t, env.Expiry)
	lead := campaign(t, p.candidate(t, nil))
	resign(t, lead)
}

func guardRefusesOldTerm(t *testing.T, env *drivertest.Env) {
	p, q := open(t, env), open(t, env)
	old := campaign(t, p.candidate(t, nil))
	key := func(s string) driver.Txn { return driver.Txn{Ops: []driver.Op{driver.Create("data/"+s, nil)}} }
	if result, err := p.Commit(t.Context(), key("during"), old.Guard()); err != nil || !result.Applied {
		t.Errorf("a guarded commit while leading = %+v, %v", result, err)
	}
	if result, err := p.Commit(t.Context(), key("during"), old.Guard()); err != nil || result.Applied {
		t.Errorf("a guarded commit whose own condition fails = %+v, %v", result, err)
	}
	if old.Guard().Token() != old.Term() {
		t.Errorf("the guard's token is %d, the term %d", old.Guard().Token(), old.Term())
	}
	resign(t, old)
	refused := func(when string) {
		t.Helper()
		if _, err := p.Commit(t.Context(), key("after"), old.Guard()); !errors.Is(err, backend.ErrFenced) {
			t.Errorf("a commit guarded by the old term %s = %v, want ErrFenced", when, err)
		}
	}
	refused("after its resignation")
	lead := campaign(t, q.candidate(t, nil))
	refused("under the next leader")
	resign(t, lead)
	again := campaign(t, p.candidate(t, nil))
	refused("under a later term of the same process")
	resign(t, again)
	if _, found, err := p.Get(t.Context(), "data/after"); err != nil || found {
		t.Errorf("a fenced commit was applied (%v, %v)", found, err)
	}
}

func observe(t *testing.T, env *drivertest.Env) {
	p, q := open(t, env), open(t, env)
	ctx, cancel := context.WithCancelCause(t.Context())
	seen := make(chan election.Leader, 16)
	last := make(chan error, 1)
	go func() {
		for leader, err := range q.candidate(t, nil).Observe(ctx) {
			if err != nil {
				last <- err
				return
			}
			seen <- leader
		}
	}()
	if l := within(t, time.Second, "the first state", seen); !l.IsZero() {
		t.Errorf("the first state is %+v, want nobody", l)
	}
	for _, id := range []string{"x", "y"} {
		lead := campaign(t, p.candidate(t, &election.Options{ID: id}))
		if l := within(t, time.Second, "the leader is seen", seen); l.ID != id || l.Term != lead.Term() {
			t.Errorf("observed %+v, want %s at %d", l, id, lead.Term())
		}
		resign(t, lead)
		if l := within(t, time.Second, "the resignation is seen", seen); !l.IsZero() {
			t.Errorf("observed %+v, want nobody", l)
		}
	}
	enough := errors.New("seen enough")
	cancel(enough)
	if err := within(t, time.Second, "Observe ends", last); !errors.Is(err, enough) {
		t.Errorf("Observe ended with %v, want the cause of its context's end", err)
	}
}

func thousandHandOvers(t *testing.T, env *drivertest.Env) {
	const total = 1000
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last uint64 // written by who leads, under the office
	count := 0
	var runners sync.WaitGroup
	for range 2 {
		e := open(t, env).candidate(t, nil)
		runners.Go(func() {
			for ctx.Err() == nil {
				err := e.Run(ctx, func(_ context.Context, lead *election.Leadership) error {
					if lead.Term() <= last {
						t.Errorf("term %d after %d", lead.Term(), last)
					}
					last = lead.Term()
					if count++; count == total {
						cancel()
					}
					return nil
				})
				if err != nil && ctx.Err() == nil {
					t.Errorf("Run: %v", err)
				}
			}
		})
	}
	runners.Wait()
	if count < total {
		t.Errorf("%d hand-overs, want %d", count, total)
	}
}

// oneWakesOf64: after a resignation, the only process that talks to the store
// is the one whose turn it is.
func oneWakesOf64(t *testing.T, env *drivertest.Env) {
	const n = 64
	ttl := 3 * env.TTL
	boss := openFor(t, env, ttl)
	lead := campaign(t, boss.candidate(t, nil))
	var all [n]*process
	var won [n]<-chan *election.Leadership
	for i := range n {
		all[i] = openFor(t, env, ttl)
		won[i] = inBackground(t, all[i].candidate(t, nil))
		boss.queued(t, i+2)
	}
	quiet := func(i int) (reads, commits int64) { return all[i].spy.reads.Load(), all[i].spy.commits.Load() }
	settle(t, all[:])
	for turn := range 3 {
		var reads, commits [n]int64
		for i := range n {
			reads[i], commits[i] = quiet(i)
		}
		resign(t, lead)
		lead = within(t, env.TTL, "the next leads", won[turn])
		settle(t, all[:])
		for i := range n {
			r, c := quiet(i)
			switch r, c = r-reads[i], c-commits[i]; {
			case i == turn-1 || i == turn:
				if r > 0 || c > 1 {
					t.Errorf("turn %d: process %d, whose turn began or ended, made %d reads and %d commits, want one commit", turn, i, r, c)
				}
			case r+c > 0:
				t.Errorf("turn %d: process %d made %d reads and %d commits", turn, i, r, c)
			}
		}
	}
	resign(t, lead)
}

// settle waits until no process has made a read or a commit for a while.
func settle(t testing.TB, all []*process) {
	t.Helper()
	sum := func() (n int64) {
		for _, p := range all {
			n += p.spy.reads.Load() + p.spy.commits.Load() + p.spy.watches.Load()
		}
		return n
	}
	last, since := sum(), time.Now()
	eventually(t, 30*time.Second, "all is quiet", func() error {
		if now := sum(); now != last {
			last, since = now, time.Now()
		}
		if time.Since(since) < 300*time.Millisecond {
			return errors.New("there are calls")
		}
		return nil
	})
}

// hundredAtRest: a hundred elections in a process cost one lease, and at rest
// nothing but its renewals.
func hundredAtRest(t *testing.T, env *drivertest.Env) {
	p, rival := open(t, env), open(t, env)
	name := func(i int) string { return fmt.Sprintf("e%d", i) }
	for i := range 100 {
		e, err := election.New(p.Store, name(i), nil)
		if err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			campaign(t, e)
			continue
		}
		other, err := election.New(rival.Store, name(i), nil)
		if err != nil {
			t.Fatal(err)
		}
		campaign(t, other)
		inBackground(t, e)
	}
	settle(t, []*process{p})
	before := p.spy.calls() - p.spy.renewals.Load()
	renewals := p.spy.renewals.Load()
	resting := time.NewTimer(3 * env.TTL)
	<-resting.C
	if others := p.spy.calls() - p.spy.renewals.Load() - before; others > 0 {
		t.Errorf("%d calls at rest beside renewals", others)
	}
	if n := p.spy.grants.Load(); n != 1 {
		t.Errorf("%d leases", n)
	}
	// A third of the window apart; ZooKeeper's windows are shorter than its TTL.
	if n := p.spy.renewals.Load() - renewals; n < 6 || n > 40 {
		t.Errorf("%d renewals in three TTLs", n)
	} else {
		t.Logf("%d renewals in three TTLs, no other call", n)
	}
}

// namesThatChange: an election that is over leaves no goroutine and no watch
// behind, nor do many of one name.
func namesThatChange(t *testing.T, env *drivertest.Env) {
	const names, workers, objects = 100, 10, 50
	p := open(t, env)
	hold := func(name string) {
		e, err := election.New(p.Store, name, nil)
		if err != nil {
			t.Error(err)
			return
		}
		lead, err := e.Campaign(t.Context())
		if err != nil {
			t.Errorf("Campaign: %v", err)
			return
		}
		resign(t, lead)
	}
	hold("first")
	settle(t, []*process{p})
	goroutines, watching := runtime.NumGoroutine(), p.spy.watching.Load()
	var all sync.WaitGroup
	for worker := range workers {
		all.Go(func() {
			for i := worker; i < names; i += workers {
				hold(fmt.Sprintf("n%d", i))
			}
		})
	}
	all.Wait()
	for range objects {
		hold("e")
	}
	eventually(t, 5*time.Second, "nothing is left in the process", func() error {
		// The client may have opened connections for so many calls.
		if now := runtime.NumGoroutine(); now > goroutines+names/2 {
			return fmt.Errorf("%d goroutines, %d before", now, goroutines)
		}
		if now := p.spy.watching.Load(); now > watching {
			return fmt.Errorf("%d watches, %d before", now, watching)
		}
		return nil
	})
}
