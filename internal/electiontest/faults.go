package electiontest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/drivertest"
	"github.com/quorate/quorate/election"
)

func silencedLeader(t *testing.T, env *drivertest.Env) { unheardLeader(t, env, env.Silence) }
func mutedLeader(t *testing.T, env *drivertest.Env)    { unheardLeader(t, env, env.Mute) }

// unheardLeader: a leader that the store does not answer any more ends before
// the next one begins.
func unheardLeader(t *testing.T, env *drivertest.Env, fault func(testing.TB, backendDriver)) {
	p, q := open(t, env), open(t, env)
	old := campaign(t, p.candidate(t, nil))
	ended := make(chan time.Time, 1)
	context.AfterFunc(old.Context(), func() { ended <- time.Now() })
	won := inBackground(t, q.candidate(t, nil))
	q.queued(t, 2)
	fault(t, p.spy.Driver)
	defer env.Heal(t, p.spy.Driver)
	lost(t, env.TTL, old)
	lead := within(t, env.Expiry, "the next leads", won)
	if at, began := <-ended, time.Now(); at.After(began) {
		t.Errorf("the old leader ended %v after the new one began", at.Sub(began))
	}
	if lead.Term() <= old.Term() {
		t.Errorf("term %d after %d", lead.Term(), old.Term())
	}
	resign(t, lead)
}

// cutAndHealed: connections that break and can be made again cost nothing.
func cutAndHealed(t *testing.T, env *drivertest.Env) {
	p := open(t, env)
	lead := campaign(t, p.candidate(t, nil))
	for range 3 {
		env.Cut(t, p.spy.Driver)
		env.Heal(t, p.spy.Driver)
		eventually(t, 2*time.Second, "the leader is confirmed", func() error { return lead.Confirm(t.Context()) })
	}
	if p.spy.grants.Load() != 1 {
		t.Errorf("%d sessions, want the first to live on", p.spy.grants.Load())
	}
	resign(t, lead)
}

// leaseEnded: the lease is revoked behind its owner's back.
func leaseEnded(t *testing.T, env *drivertest.Env) {
	p, q := open(t, env), open(t, env)
	old := campaign(t, p.candidate(t, nil))
	won := inBackground(t, q.candidate(t, nil))
	q.queued(t, 2)
	env.Expire(t, p.spy.lease())
	lost(t, time.Second, old)
	lead := within(t, time.Second, "the next leads", won)
	if lead.Term() <= old.Term() {
		t.Errorf("term %d after %d", lead.Term(), old.Term())
	}
	resign(t, lead)
	// The one that lost its session comes back by itself.
	resign(t, old)
	resign(t, campaign(t, p.candidate(t, nil)))
}

// sessionLostWhileWaiting: a candidate whose session died while it waited does
// not believe that it won, and does win under the next session.
func sessionLostWhileWaiting(t *testing.T, env *drivertest.Env) {
	p, q := open(t, env), open(t, env)
	lead := campaign(t, p.candidate(t, nil))
	won := inBackground(t, q.candidate(t, nil))
	p.queued(t, 2)
	env.Expire(t, q.spy.lease())
	eventually(t, env.TTL+time.Second, "the candidate is back under a new session", func() error {
		if q.spy.grants.Load() < 2 {
			return errors.New("no new session")
		}
		return nil
	})
	p.queued(t, 2)
	select {
	case l := <-won:
		t.Fatalf("it believes it won term %d", l.Term())
	default:
	}
	resign(t, lead)
	resign(t, within(t, 5*time.Second, "it leads", won))
}

func storeAwayAtStart(t *testing.T, env *drivertest.Env) {
	p := open(t, env)
	env.Cut(t, p.spy.Driver)
	led := make(chan struct{})
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	e := p.candidate(t, nil)
	go func() {
		ended <- e.Run(ctx, func(ctx context.Context, _ *election.Leadership) error {
			close(led)
			<-ctx.Done()
			return nil
		})
	}()
	waiting := time.NewTimer(500 * time.Millisecond)
	select {
	case <-led:
		t.Error("it leads without a store")
	case err := <-ended:
		t.Fatalf("Run gave up: %v", err)
	case <-waiting.C:
	}
	env.Heal(t, p.spy.Driver)
	within(t, env.TTL+2*time.Second, "it leads once the store is up", led)
	stop := errors.New("stop")
	cancel()
	if err := within(t, 2*time.Second, "Run ends", ended); !errors.Is(err, context.Canceled) {
		t.Errorf("Run = %v, want the cause of its context's end (%v)", err, stop)
	}
	open(t, env).nothingLeft(t, 0)
}

func closeOnDeadStore(t *testing.T, env *drivertest.Env) {
	p := open(t, env)
	e := p.candidate(t, nil)
	led, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- e.Run(t.Context(), func(ctx context.Context, _ *election.Leadership) error {
			close(led)
			<-ctx.Done()
			return context.Cause(ctx)
		})
	}()
	within(t, 5*time.Second, "it leads", led)
	env.Silence(t, p.spy.Driver)
	defer env.Heal(t, p.spy.Driver)
	start := time.Now()
	err := p.Close()
	if took := time.Since(start); took > 3500*time.Millisecond {
		t.Errorf("Close took %v of 3 s", took)
	}
	if err == nil {
		t.Error("Close on a dead store says that the session was revoked")
	}
	if err := within(t, time.Second, "Run ends", ended); !errors.Is(err, backend.ErrClosed) {
		t.Errorf("Run = %v, want ErrClosed", err)
	}
}

// strictWaits: with Strict a crash costs one more TTL, a resignation nothing.
func strictWaits(t *testing.T, env *drivertest.Env) {
	strict := &election.Options{Strict: true}
	p, q := open(t, env), open(t, env)
	old := campaign(t, p.candidate(t, strict))
	e := q.candidate(t, strict)
	won := inBackground(t, e)
	q.queued(t, 2)
	env.Expire(t, p.spy.lease())
	gone := time.Now()
	lost(t, time.Second, old)
	lead := within(t, 2*env.TTL, "the next leads", won)
	if waited := time.Since(gone); waited < env.TTL-time.Second/10 {
		t.Errorf("it led %v after the office was gone, a TTL is %v", waited, env.TTL)
	}
	steady := time.NewTimer(env.TTL * 3 / 2)
	select {
	case <-steady.C:
	case <-lead.Context().Done():
		t.Fatalf("an undisturbed Strict leader lost: %v", context.Cause(lead.Context()))
	}
	next := inBackground(t, open(t, env).candidate(t, strict))
	q.queued(t, 2)
	start := time.Now()
	resign(t, lead)
	last := within(t, env.TTL/2, "the next leads", next)
	if took := time.Since(start); took > env.TTL/2 {
		t.Errorf("a clean hand-over took %v", took)
	}
	resign(t, last)
}

// resignInOutage: a resignation without a deadline ends with the session, whose end
// gives the office away, and says that it was not recorded.
func resignInOutage(t *testing.T, env *drivertest.Env) {
	p := open(t, env)
	lead := campaign(t, p.candidate(t, nil))
	env.Silence(t, p.spy.Driver)
	defer env.Heal(t, p.spy.Driver)
	ended := make(chan error, 1)
	go func() { ended <- lead.Resign(context.Background()) }()
	if err := within(t, env.TTL, "Resign returns", ended); err == nil {
		t.Error("Resign = nil, though the store heard nothing")
	}
}
