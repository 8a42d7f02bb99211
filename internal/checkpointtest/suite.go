// Package checkpointtest is the test suite of restart.Checkpoint that runs on
// every store: the scenarios hold for any driver that passes drivertest, whose
// environment they use.
package checkpointtest

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/drivertest"
	"github.com/quorate/quorate/backend/faults"
	"github.com/quorate/quorate/restart"
)

// Scenario is one test.
type Scenario struct {
	Name string
	Run  func(t *testing.T, env *drivertest.Env)
}

// Scenarios returns all tests.
func Scenarios() []Scenario {
	return []Scenario{
		{"claim-save-claim", claimSaveClaim},
		{"fifty-hand-overs", handOvers},
		{"lost-replies", lostReplies},
		{"late-save-overwrites-nothing", lateSave},
		{"late-save-after-the-next-claim", lateSaveAfterClaim},
		{"muted-save-is-settled", mutedSave},
		{"guard-is-a-condition", guardIsACondition},
		{"largest-value", largestValue},
		{"store-away-at-the-start", storeAway},
		{"deleted-by-hand", deletedByHand},
		{"restored", restored},
	}
}

// Run runs all tests in real time, each in an environment of its own.
func Run(t *testing.T, factory drivertest.Factory) {
	for _, s := range Scenarios() {
		t.Run(s.Name, func(t *testing.T) { s.Run(t, factory(t)) })
	}
}

// process is one process's Store and checkpoint.
type process struct {
	*restart.Checkpoint[string]
	store   *backend.Store
	inner   driver.Driver
	counted *counted
	faults  *faults.Driver
	t       *testing.T
}

// counted counts the commits that the driver has answered.
type counted struct {
	driver.Driver
	answered atomic.Uint64
}

func (c *counted) Commit(ctx context.Context, txn driver.Txn) (driver.Result, error) {
	defer c.answered.Add(1)
	return c.Driver.Commit(ctx, txn)
}

func open(t *testing.T, env *drivertest.Env) *process {
	t.Helper()
	p := &process{t: t, inner: env.Open(t)}
	p.counted = &counted{Driver: p.inner}
	p.faults = faults.Wrap(p.counted)
	var err error
	p.store, err = backend.New(p.faults, &backend.Options{
		Namespace: env.Prefix, TTL: env.TTL, CallTimeout: 3 * time.Second, CloseTimeout: 3 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.store.Close() })
	if p.Checkpoint, err = restart.NewCheckpoint[string](p.store, "a/b", nil); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *process) claims(want string, guards ...backend.Guard) {
	p.t.Helper()
	if got, found, err := p.Claim(p.t.Context(), guards...); err != nil || got != want || found != (want != "") {
		p.t.Fatalf("Claim = %.40q, %t, %v, want %.40q", got, found, err, want)
	}
}

func (p *process) saves(value string) {
	p.t.Helper()
	if err := p.Save(p.t.Context(), value); err != nil {
		p.t.Fatalf("Save(%.40q): %v", value, err)
	}
}

// fenced checks that a save is refused, and that its owner knows for sure.
func (p *process) fenced(value string) {
	p.t.Helper()
	if err := p.Save(p.t.Context(), value); !errors.Is(err, backend.ErrFenced) || errors.Is(err, backend.ErrIndeterminate) {
		p.t.Fatalf("Save(%q) = %v, want ErrFenced and no doubt", value, err)
	}
}

// key is where the checkpoint's document lies.
func (p *process) key() string {
	p.t.Helper()
	key, err := backend.Path("checkpoint", "a/b", "value")
	if err != nil {
		p.t.Fatal(err)
	}
	return key
}

// within waits for c, at most d and what a busy machine may add.
func within[T any](t *testing.T, d time.Duration, what string, c <-chan T) (v T) {
	t.Helper()
	timer := time.NewTimer(d + 5*time.Second)
	defer timer.Stop()
	select {
	case v = <-c:
	case <-timer.C:
		t.Fatalf("not within %v: %s", d, what)
	}
	return v
}
