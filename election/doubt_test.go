package election_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/election"
)

// doubtful is a driver that says of the next commit of a kind that its outcome
// is unknown, and applies it when the test says so.
type doubtful struct {
	driver.Driver
	mu   sync.Mutex
	kind func(driver.Txn) bool
	held *driver.Txn
}

func (d *doubtful) Commit(ctx context.Context, txn driver.Txn) (driver.Result, error) {
	d.mu.Lock()
	hold := d.kind != nil && d.kind(txn)
	if hold {
		d.kind, d.held = nil, &txn
	}
	d.mu.Unlock()
	if hold {
		return driver.Result{}, driver.ErrIndeterminate
	}
	return d.Driver.Commit(ctx, txn)
}

func (d *doubtful) hold(kind func(driver.Txn) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.kind = kind
}

// land applies the commit that was held, if its conditions hold.
func (d *doubtful) land(t *testing.T) bool {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.held == nil {
		t.Fatal("no such commit was sent")
	}
	result, err := d.Driver.Commit(context.Background(), *d.held)
	if err != nil {
		t.Fatal(err)
	}
	return result.Applied
}

func isTake(txn driver.Txn) bool { return creates(txn, "/tenure/leader") }
func isJoin(txn driver.Txn) bool { return creates(txn, "/queue/") }

func creates(txn driver.Txn, part string) bool {
	for _, op := range txn.Ops {
		if op.Kind == driver.OpCreate && strings.Contains(op.Key, part) {
			return true
		}
	}
	return false
}

// TestATakeGivenUpNeverLands: the outcome of a take is unknown, and its campaign
// is given up. Once Campaign has returned, the take cannot be applied any more.
func TestATakeGivenUpNeverLands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := memory.NewServer()
		d := &doubtful{Driver: memory.NewDriver(server)}
		e := candidate(t, over(t, d), nil)
		resign(t, campaign(t, e)) // so that marks exist
		ctx, cancel := context.WithCancel(t.Context())
		d.hold(func(txn driver.Txn) bool {
			if isTake(txn) {
				cancel()
				return true
			}
			return false
		})
		if _, err := e.Campaign(ctx); !errors.Is(err, context.Canceled) {
			t.Fatalf("Campaign = %v, want the end of its context", err)
		}
		if d.land(t) {
			t.Error("the take was applied after its campaign had returned")
		}
		lead := campaign(t, candidate(t, open(t, server), nil)) // it has seen no term
		if lead.Term() != 3 {
			t.Errorf("term %d, want 3: replaced marks keep their number", lead.Term())
		}
		resign(t, lead)
	})
}

// TestATakeInDoubtIsSettledBeforeTheQueue: the outcome of a take is unknown, and
// its sender goes on. The take is settled before the sender waits in the queue:
// a leader that does not know that it leads would block all.
func TestATakeInDoubtIsSettledBeforeTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := memory.NewServer()
		resign(t, campaign(t, candidate(t, open(t, server), nil)))
		d := &doubtful{Driver: memory.NewDriver(server)}
		store := over(t, d)
		ahead := open(t, server)
		d.hold(func(txn driver.Txn) bool {
			if !isTake(txn) {
				return false
			}
			plant(t, ahead, "queue/AHEAD")
			return true
		})
		won := wins(t, candidate(t, store, nil)) // behind the other
		if d.land(t) {
			t.Error("a take that was settled has been applied")
		}
		session, err := ahead.Session(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		server.Expire(session.ID())
		synctest.Wait()
		select {
		case lead := <-won:
			resign(t, lead)
		default:
			t.Error("nobody leads")
		}
	})
}

// TestAJoinThatLandsLateIsCollected: the entry of a campaign that was given up
// appears in the queue. It blocks the queue for seconds, not for the session.
func TestAJoinThatLandsLateIsCollected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := memory.NewServer()
		first := campaign(t, candidate(t, open(t, server), nil))
		d := &doubtful{Driver: memory.NewDriver(server)}
		e := candidate(t, over(t, d), nil)
		ctx, cancel := context.WithCancel(t.Context())
		d.hold(func(txn driver.Txn) bool {
			if isJoin(txn) {
				cancel()
				return true
			}
			return false
		})
		if _, err := e.Campaign(ctx); !errors.Is(err, context.Canceled) {
			t.Fatalf("Campaign = %v, want the end of its context", err)
		}
		if !d.land(t) {
			t.Fatal("the entry was not created")
		}
		next := wins(t, candidate(t, open(t, server), nil))
		resign(t, first)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		select {
		case lead := <-next:
			resign(t, lead)
		default:
			t.Error("the entry of nobody still blocks the queue")
		}
	})
}

// TestAHandOverReadsNothing: the resignation is one commit, and so is the take
// of the successor. A free office is taken by one read and one commit.
func TestAHandOverReadsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := memory.NewServer()
		resign(t, campaign(t, candidate(t, open(t, server), nil)))
		a, b := memory.NewDriver(server), memory.NewDriver(server)
		first, second := candidate(t, over(t, a), nil), candidate(t, over(t, b), nil)
		cost := func(what string, d *memory.Driver, reads, commits uint64, do func()) {
			t.Helper()
			before := d.Stats()
			do()
			synctest.Wait()
			after := d.Stats()
			if r, c := after.Reads-before.Reads, after.Commits-before.Commits; r != reads || c != commits {
				t.Errorf("%s: %d reads and %d commits, want %d and %d", what, r, c, reads, commits)
			}
		}
		var lead *election.Leadership
		cost("a free office", a, 1, 1, func() { lead = campaign(t, first) })
		won := wins(t, second)
		cost("the successor", b, 0, 1, func() {
			cost("the resignation", a, 0, 1, func() { resign(t, lead) })
		})
		resign(t, <-won)
	})
}

// slow is a driver whose calls take a millisecond each way, so that those of a
// crowd overlap.
type slow struct{ driver.Driver }

func (d slow) Read(ctx context.Context, targets ...driver.Target) ([][]driver.Entry, error) {
	time.Sleep(time.Millisecond)
	defer time.Sleep(time.Millisecond)
	return d.Driver.Read(ctx, targets...)
}

func (d slow) Commit(ctx context.Context, txn driver.Txn) (driver.Result, error) {
	time.Sleep(time.Millisecond)
	defer time.Sleep(time.Millisecond)
	return d.Driver.Commit(ctx, txn)
}

// TestACrowdJoins: many candidates join an election at once that was never
// held, or whose office is free. None of them makes more than a few requests.
func TestACrowdJoins(t *testing.T) {
	for _, held := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			server := memory.NewServer()
			if held {
				resign(t, campaign(t, candidate(t, open(t, server), nil)))
			}
			ctx, cancel := context.WithCancel(t.Context())
			won := make(chan *election.Leadership, 1)
			var drivers []*memory.Driver
			var ended sync.WaitGroup
			for range 200 {
				d := memory.NewDriver(server)
				drivers = append(drivers, d)
				e := candidate(t, over(t, slow{d}), nil)
				ended.Go(func() {
					if lead, err := e.Campaign(ctx); err == nil {
						won <- lead
					}
				})
			}
			time.Sleep(time.Second)
			synctest.Wait()
			marks := 0
			for _, e := range server.Entries() {
				if strings.Contains(e.Key, "~") {
					marks++
				}
			}
			if marks != 2 {
				t.Errorf("held before %t: %d marks, want those of the leader", held, marks)
			}
			for i, d := range drivers {
				if s := d.Stats(); s.Reads+s.Commits > 8 {
					t.Errorf("held before %t: candidate %d made %d reads and %d commits", held, i, s.Reads, s.Commits)
				}
			}
			lead := <-won
			cancel()
			ended.Wait()
			resign(t, lead)
		})
	}
}
