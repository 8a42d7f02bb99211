package checkpointtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/drivertest"
	"github.com/quorate/quorate/backend/faults"
)

func claimSaveClaim(t *testing.T, env *drivertest.Env) {
	p, q := open(t, env), open(t, env)
	p.claims("")
	p.saves("1")
	p.saves("2")
	q.claims("2")
	p.fenced("3")
	q.saves("4")
	p.fenced("5")
	p.claims("4")
	p.saves("6")
	q.fenced("7")
}

// handOvers: each claim finds what the last owner saved, whatever was saved in
// vain in between.
func handOvers(t *testing.T, env *drivertest.Env) {
	both := []*process{open(t, env), open(t, env)}
	last := ""
	for i := range 50 {
		now, before := both[i%2], both[(i+1)%2]
		now.claims(last)
		if i > 0 {
			before.fenced("stale")
		}
		for j := range 3 {
			last = fmt.Sprint(i, ".", j)
			now.saves(last)
		}
	}
}

func lostReplies(t *testing.T, env *drivertest.Env) {
	p, q := open(t, env), open(t, env)
	p.faults.Next(faults.Commit, faults.Fault{LoseReply: true})
	p.claims("")
	for i := range 10 {
		p.faults.Next(faults.Commit, faults.Fault{LoseReply: true})
		before := p.faults.Calls(faults.Commit)
		p.saves(fmt.Sprint(i))
		if n := p.faults.Calls(faults.Commit) - before; n != 1 {
			t.Errorf("a save that landed was sent %d times", n)
		}
	}
	q.claims("9")
}

// late makes the next commit land later than its caller waits, and returns what
// waits until all commits of p have reached the store and been answered.
func (p *process) late(by time.Duration) (landed func()) {
	p.faults.Next(faults.Commit, faults.Fault{LandLater: by})
	return func() {
		p.t.Helper()
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for deadline := time.Now().Add(10 * time.Second); p.counted.answered.Load() < p.faults.Calls(faults.Commit); <-tick.C {
			if time.Now().After(deadline) {
				p.t.Fatal("the late commit has not landed")
			}
		}
	}
}

func lateSave(t *testing.T, env *drivertest.Env) {
	p, q := open(t, env), open(t, env)
	p.claims("")
	landed := p.late(300 * time.Millisecond)
	p.saves("1") // by a second attempt
	p.saves("2")
	landed()
	p.saves("3")
	landed = p.late(300 * time.Millisecond)
	p.saves("4")
	landed()
	q.claims("4")
}

// lateSaveAfterClaim: a save that its owner gave up lands when another has
// claimed.
func lateSaveAfterClaim(t *testing.T, env *drivertest.Env) {
	p, q := open(t, env), open(t, env)
	p.claims("")
	p.saves("1")
	landed := p.late(2 * time.Second) // time for the other to claim on a busy machine
	p.faults.Next(faults.Read, faults.Fault{Delay: time.Hour})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := p.Save(ctx, "late"); !errors.Is(err, backend.ErrIndeterminate) || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Save given up = %v, want ErrIndeterminate with the cause", err)
	}
	q.claims("1")
	landed()
	q.saves("2")
	p.fenced("3")
	p.claims("2")
}

// mutedSave: the store hears the process, which does not hear it.
func mutedSave(t *testing.T, env *drivertest.Env) {
	p, q := open(t, env), open(t, env)
	p.claims("")
	p.saves("1")
	env.Mute(t, p.inner)
	saved := make(chan error, 1)
	go func() { saved <- p.Save(t.Context(), "2") }()
	timer := time.NewTimer(time.Second)
	defer timer.Stop()
	select {
	case err := <-saved:
		t.Fatalf("Save without an answer = %v", err)
	case <-timer.C:
	}
	env.Heal(t, p.inner)
	if err := within(t, 15*time.Second, "the save is settled", saved); err != nil {
		t.Fatalf("Save = %v", err)
	}
	q.claims("2")
}

// guardIsACondition of both the claim and the save.
func guardIsACondition(t *testing.T, env *drivertest.Env) {
	p, q := open(t, env), open(t, env)
	office := func(p *process, name string) (backend.Guard, backend.Entry) {
		entry := backend.Entry{Key: "office/" + name}
		result, err := p.store.Commit(t.Context(), backend.Txn{Ops: []backend.Op{driver.Create(entry.Key, nil)}})
		if err != nil || !result.Applied {
			t.Fatalf("creating a guard: %v, %v", result, err)
		}
		entry.Version = result.Versions[0]
		return p.store.NewGuard(1, []backend.Entry{entry}, func(map[string]backend.Entry) bool { return true }), entry
	}
	guard, entry := office(p, "1")
	p.claims("", guard)
	p.saves("1")
	if _, err := q.store.Commit(t.Context(), backend.Txn{Ops: []backend.Op{driver.Delete(entry.Key, driver.Version{})}}); err != nil {
		t.Fatal(err)
	}
	p.fenced("2")
	if _, _, err := p.Claim(t.Context(), guard); !errors.Is(err, backend.ErrFenced) {
		t.Errorf("Claim without its guard = %v, want ErrFenced", err)
	}
	next, _ := office(q, "2")
	q.claims("1", next)
	q.saves("3")
}

func largestValue(t *testing.T, env *drivertest.Env) {
	p, q := open(t, env), open(t, env)
	p.claims("")
	fits := strings.Repeat("x", 247<<10)
	p.saves(fits)
	if err := p.Save(t.Context(), fits+strings.Repeat("x", 1<<10)); !errors.Is(err, backend.ErrTooLarge) {
		t.Errorf("Save of 248 KiB = %v, want ErrTooLarge", err)
	}
	q.claims(fits)
	q.saves("small")
}

func storeAway(t *testing.T, env *drivertest.Env) {
	p := open(t, env)
	env.Cut(t, p.inner)
	done := make(chan error, 1)
	go func() {
		_, _, err := p.Claim(t.Context())
		if err == nil {
			err = p.Save(t.Context(), "1")
		}
		done <- err
	}()
	timer := time.NewTimer(500 * time.Millisecond)
	defer timer.Stop()
	select {
	case err := <-done:
		t.Fatalf("claimed without a store: %v", err)
	case <-timer.C:
	}
	env.Heal(t, p.inner)
	if err := within(t, 10*time.Second, "claimed and saved", done); err != nil {
		t.Fatal(err)
	}
}

func deletedByHand(t *testing.T, env *drivertest.Env) {
	p, q := open(t, env), open(t, env)
	p.claims("")
	p.saves("1")
	if _, err := q.store.Commit(t.Context(), backend.Txn{Ops: []backend.Op{driver.Delete(p.key(), driver.Version{})}}); err != nil {
		t.Fatal(err)
	}
	p.fenced("2")
	q.claims("")
	q.saves("3")
	p.fenced("4")
}

// restored: who the backup knows goes on, who it does not is fenced.
func restored(t *testing.T, env *drivertest.Env) {
	p, q := open(t, env), open(t, env)
	p.claims("")
	p.saves("1")
	restore := env.Snapshot(t)
	p.saves("2")
	restore()
	p.saves("3")
	q.claims("3")
	p.fenced("4")
	restore = env.Snapshot(t)
	p.claims("3")
	p.saves("5")
	restore()
	p.fenced("6")
	q.saves("7") // its token is in the backup
	p.claims("7")
}
