package electiontest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/drivertest"
	"github.com/quorate/quorate/election"
)

type backendDriver = driver.Driver

// ledger records who led when.
type ledger struct {
	mu      sync.Mutex
	tenures []*tenure
	changed chan struct{}
}

type tenure struct {
	term       uint64
	who        int
	began, end time.Time // end is zero while it lasts
	guard      backend.Guard
	store      *backend.Store
}

// enter records that a tenure began; the result, that it has ended.
func (l *ledger) enter(who int, p *process, lead *election.Leadership) (exit func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := &tenure{term: lead.Term(), who: who, began: time.Now(), guard: lead.Guard(), store: p.Store}
	l.tenures = append(l.tenures, t)
	close(l.changed)
	l.changed = make(chan struct{})
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		t.end = time.Now()
	}
}

func (l *ledger) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.tenures)
}

// after waits for a tenure later than the first n.
func (l *ledger) after(t testing.TB, n int, d time.Duration) *tenure {
	t.Helper()
	for {
		l.mu.Lock()
		tenures, changed := l.tenures, l.changed
		l.mu.Unlock()
		if len(tenures) > n {
			return tenures[len(tenures)-1]
		}
		within(t, d, "somebody leads", changed)
	}
}

// reaches waits for a tenure with that term or a higher one.
func (l *ledger) reaches(t testing.TB, term uint64, d time.Duration) *tenure {
	t.Helper()
	for n := 0; ; {
		found := l.after(t, n, d)
		if found.term >= term {
			return found
		}
		n = l.count()
	}
}

// highest returns the highest term so far.
func (l *ledger) highest() (term uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range l.tenures {
		term = max(term, t.term)
	}
	return term
}

// check fails the test if two tenures overlapped by more than allowed.
func (l *ledger) check(t testing.TB, allowed time.Duration) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	slices.SortFunc(l.tenures, func(a, b *tenure) int { return a.began.Compare(b.began) })
	var longest time.Duration
	for i, later := range l.tenures[min(1, len(l.tenures)):] {
		earlier := l.tenures[i]
		if earlier.end.IsZero() {
			t.Errorf("term %d has not ended though %d began", earlier.term, later.term)
		} else if overlap := earlier.end.Sub(later.began); overlap > 0 {
			longest = max(longest, overlap)
		}
	}
	t.Logf("%d tenures, longest overlap %v", len(l.tenures), longest)
	if longest > allowed {
		t.Errorf("two led for %v, allowed is %v", longest, allowed)
	}
}

// field is some processes that all want to lead, for ever.
type field struct {
	*ledger
	all   []*process
	stop  context.CancelFunc
	ended sync.WaitGroup
}

func startField(t *testing.T, env *drivertest.Env, n int, opts *election.Options) *field {
	ctx, cancel := context.WithCancel(t.Context())
	f := &field{ledger: &ledger{changed: make(chan struct{})}, stop: cancel}
	for i := range n {
		p := open(t, env)
		f.all = append(f.all, p)
		e := p.candidate(t, opts)
		f.ended.Go(func() {
			err := e.Run(ctx, func(ctx context.Context, lead *election.Leadership) error {
				exit := f.enter(i, p, lead)
				<-ctx.Done()
				exit()
				return context.Cause(ctx)
			})
			if !errors.Is(err, context.Canceled) {
				t.Errorf("Run of %d: %v", i, err)
			}
		})
	}
	t.Cleanup(func() { cancel(); f.ended.Wait() })
	f.after(t, 0, env.Expiry)
	f.all[0].queued(t, n)
	return f
}

// grew fails the test if a term did not grow.
func (l *ledger) grew(t testing.TB) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, later := range l.tenures[min(1, len(l.tenures)):] {
		if earlier := l.tenures[i]; later.term <= earlier.term {
			t.Errorf("term %d of %d began after term %d of %d", later.term, later.who, earlier.term, earlier.who)
		}
	}
}

// finish stops all and checks that nothing is left.
func (f *field) finish(t testing.TB, allowed time.Duration) {
	t.Helper()
	f.stop()
	f.ended.Wait()
	f.check(t, allowed)
	f.all[0].nothingLeft(t, 2*time.Second)
}

// A notification: how long two may lead where the store gave the office away
// by hand. On a busy machine that is mostly scheduling.
const notification = 500 * time.Millisecond

func keysDeletedByHand(t *testing.T, env *drivertest.Env) {
	deletedByHand(t, env, nil, notification, pairs())
}

func keysDeletedByHandStrict(t *testing.T, env *drivertest.Env) {
	deletedByHand(t, env, &election.Options{Strict: true}, 0, [][]string{{"leader"}, {"leader", "mark"}, {"leader", "spare"}})
}

// pairs returns the keys of an election one at a time, and in pairs, in either
// order.
func pairs() (sets [][]string) {
	all := []string{"leader", "mark", "spare", "entry"}
	for _, a := range all {
		sets = append(sets, []string{a})
		for _, b := range all {
			if a != b {
				sets = append(sets, []string{a, b})
			}
		}
	}
	return sets
}

func deletedByHand(t *testing.T, env *drivertest.Env, opts *election.Options, allowed time.Duration, sets [][]string) {
	f := startField(t, env, 3, opts)
	hand := open(t, env)
	wait := env.TTL
	if opts != nil {
		wait *= 3
	}
	for _, set := range sets {
		before, n := f.stands(t, hand, wait)
		for _, what := range set {
			deleteByHand(t, hand, what)
		}
		// The tenure must end where it can no longer be told from another, and
		// somebody must lead; where it may stay, that is the one who did.
		if slices.Contains(set, "leader") || slices.Contains(set, "mark") {
			if lead := f.after(t, n, wait); lead.term <= before.term {
				t.Errorf("%v deleted: term %d after %d", set, lead.term, before.term)
			}
			if _, err := before.store.Commit(t.Context(), driver.Txn{Ops: []driver.Op{driver.Create("data/stale", nil)}}, before.guard); !errors.Is(err, backend.ErrFenced) {
				t.Errorf("%v deleted: a commit guarded by term %d = %v, want ErrFenced", set, before.term, err)
			}
		}
	}
	f.stands(t, hand, wait)
	f.grew(t)
	f.finish(t, allowed)
}

// stands waits until the tenure that began last has the leader key and its mark, so that nothing of what was deleted before is still to be mended:
// what goes next goes under this tenure. It is the nth.
func (f *field) stands(t testing.TB, hand *process, d time.Duration) (latest *tenure, n int) {
	t.Helper()
	e := hand.candidate(t, nil)
	eventually(t, d, "the latest leader holds the leader key", func() error {
		n = f.count()
		latest = f.after(t, n-1, 0)
		if leader, err := e.Leader(t.Context()); err != nil {
			return err
		} else if leader.Term != latest.term {
			return fmt.Errorf("term %d does, %d is the latest", leader.Term, latest.term)
		}
		// Applied or, when it is there already, not: the guard says if it stands.
		_, err := latest.store.Commit(t.Context(), driver.Txn{Ops: []driver.Op{driver.Create("data/standing", nil)}}, latest.guard)
		return err
	})
	return latest, n
}

// deleteByHand deletes a key of the leader's, or the queue entry of the next.
func deleteByHand(t testing.TB, p *process, what string) {
	t.Helper()
	read, err := p.Read(t.Context(), driver.Dir("election/e/tenure"), driver.Dir("election/e/queue"))
	if err != nil {
		t.Fatal(err)
	}
	var victim []backend.Entry
	for _, e := range read[0] {
		name := strings.TrimPrefix(e.Key, "election/e/tenure/")
		kind := "mark"
		switch {
		case name == "leader":
			kind = "leader"
		case strings.HasSuffix(name, ".spare"):
			kind = "spare"
		}
		if kind == what {
			victim = append(victim, e)
		}
	}
	if what == "entry" {
		slices.SortFunc(read[1], func(a, b backend.Entry) int { return cmp.Compare(a.Created, b.Created) })
		victim = read[1][:min(1, len(read[1]))]
	}
	for _, e := range victim {
		if _, err := p.Commit(t.Context(), driver.Txn{Ops: []driver.Op{driver.Delete(e.Key, backend.Version{})}}); err != nil {
			t.Fatal(err)
		}
	}
}

// wiped: everything goes at once, several times. Who takes the office first may
// not have seen the highest term, but those who have still live, and raise it.
// That it was reached once more, by another tenure, is what remains: MinTerm is
// for that, and guards are not deceived.
func wiped(t *testing.T, env *drivertest.Env) {
	f := startField(t, env, 3, nil)
	hand := open(t, env)
	for range 3 {
		n, highest := f.count(), f.highest()
		// What was read may be outdated: those that lost their keys come back.
		eventually(t, env.TTL, "everything is deleted at once", func() error {
			read, err := hand.Read(t.Context(), driver.Dir("election/e/tenure"), driver.Dir("election/e/queue"))
			if err != nil {
				return err
			}
			var ops []driver.Op
			for _, e := range slices.Concat(read...) {
				ops = append(ops, driver.Delete(e.Key, e.Version))
			}
			result, err := hand.Commit(t.Context(), driver.Txn{Ops: ops})
			if err == nil && !result.Applied {
				err = errors.New("the commit was refused")
			}
			return err
		})
		f.after(t, n, env.TTL)
		f.reaches(t, highest, env.TTL)
	}
	f.finish(t, notification)
}

// restored: the store goes back to a backup from an earlier tenure. The
// present leader ends, guards of both tenures refuse, and the term comes up to
// the highest that a living process remembers at least.
func restored(t *testing.T, env *drivertest.Env) {
	f := startField(t, env, 3, nil)
	restore := env.Snapshot(t)
	first := f.after(t, 0, 0)
	n := f.count()
	deleteByHand(t, f.all[0], "leader")
	second := f.after(t, n, env.TTL)
	n = f.count()
	restore()
	f.after(t, n, 2*env.Expiry+10*time.Second)
	third := f.reaches(t, second.term, env.Expiry)
	for _, old := range []*tenure{first, second} {
		eventually(t, 5*time.Second, "an old guard refuses", func() error {
			_, err := old.store.Commit(t.Context(), driver.Txn{Ops: []driver.Op{driver.Create(fmt.Sprintf("data/%d", old.term), nil)}}, old.guard)
			if errors.Is(err, backend.ErrFenced) {
				return nil
			}
			if err == nil {
				t.Errorf("a commit guarded by term %d was applied under term %d", old.term, third.term)
				return nil
			}
			return err
		})
	}
	eventually(t, env.Expiry+env.TTL, "the queue is whole again", func() error {
		keys, err := f.all[0].ephemeral(t.Context())
		if err == nil && len(keys) != 3 {
			err = fmt.Errorf("%s", strings.Join(keys, " "))
		}
		return err
	})
	f.finish(t, notification)
}
