package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
)

// stage is where the tour plays: a store, the workers, and what they report.
type stage struct {
	line        *timeline
	url         string
	namespace   string
	ttl         time.Duration
	store       *backend.Store
	closeClient func()

	workers []*worker
	reports chan reported
	over    chan struct{} // closed when nobody takes reports any more
	leader  *worker
	term    uint64
	since   time.Time // when it began to lead
	tenures map[uint64]tenure
}

// tenure is a term as its leader saw it, in nanoseconds of the machine's clock.
type tenure struct{ from, until int64 }

// reported is an event of a worker.
type reported struct {
	event
	from *worker
}

func newStage(ctx context.Context, line *timeline, url string, ttl time.Duration) (*stage, error) {
	opener, _, err := parseStore(url)
	if err != nil {
		return nil, err
	}
	ttl = cmp.Or(ttl, opener.ttl)
	namespace := "tour-" + strings.ToLower(rand.Text()[:8]) // each run has its own
	store, closeClient, err := openStore(url, &backend.Options{Namespace: namespace, TTL: ttl})
	if err != nil {
		return nil, err
	}
	s := &stage{
		line: line, url: url, namespace: namespace, ttl: ttl,
		store: store, closeClient: closeClient,
		reports: make(chan reported, 64), over: make(chan struct{}), tenures: make(map[uint64]tenure),
	}
	line.say("tour", "using %s, namespace %s, TTL %v", url, namespace, ttl)
	if _, _, err := store.Get(ctx, "work/none"); err != nil {
		s.close()
		return nil, fmt.Errorf("the store does not answer: %w", err)
	}
	return s, nil
}

// close ends the workers and removes what the tour has stored; what belonged
// to a worker that was killed goes when its session runs out.
func (s *stage) close() {
	close(s.over)
	for _, w := range s.workers {
		w.kill()
	}
	if len(s.workers) > 0 {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if err := s.removeKeys(ctx); err != nil {
			s.line.say("tour", "namespace %s is left behind: %v", s.namespace, err)
		}
	}
	_ = s.store.Close()
	s.closeClient()
}

func (s *stage) removeKeys(ctx context.Context) error {
	const e = "election/leader/"
	read, err := s.store.Read(ctx, driver.Dir("work"), driver.Dir(e+"tenure"), driver.Key(e+"term"))
	if err != nil {
		return err
	}
	for entries := range slices.Chunk(slices.Concat(read...), driver.MaxOps) {
		var txn backend.Txn
		for _, entry := range entries {
			txn.Ops = append(txn.Ops, driver.Delete(entry.Key, entry.Version))
		}
		switch result, err := s.store.Commit(ctx, txn); {
		case err != nil:
			return err
		case !result.Applied:
			return errors.New("somebody else writes to it")
		}
	}
	return nil
}

// elect starts the workers; the first to join leads.
func (s *stage) elect(ctx context.Context) error {
	for i := range 4 {
		w, err := startWorker(task{ID: fmt.Sprintf("worker-%d", i+1), URL: s.url, Namespace: s.namespace, TTL: s.ttl}, s.reports, s.over)
		if err != nil {
			return err
		}
		s.workers = append(s.workers, w)
		s.line.say(w.id, "started as process %d", w.pid())
	}
	if err := s.awaitLeader(ctx); err != nil {
		return err
	}
	return s.awaitQueue(ctx, len(s.workers))
}

// crash kills the leader.
func (s *stage) crash(ctx context.Context) error {
	s.line.say("tour", "kill -9 %s", s.leader.id)
	killed := time.Now()
	if err := s.leader.signal(syscall.SIGKILL); err != nil {
		return err
	}
	if err := s.awaitLeader(ctx); err != nil {
		return err
	}
	s.line.say("tour", "%.1f s without a leader: the store waited for the dead one", s.since.Sub(killed).Seconds())
	return nil
}

// pause stops the leader for longer than the store waits.
func (s *stage) pause(ctx context.Context) error {
	old, term := s.leader, s.term
	s.line.say("tour", "%s stands still from now on (SIGSTOP)", old.id)
	if err := old.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	if err := s.awaitLeader(ctx); err != nil {
		return err
	}
	s.line.say("tour", "%s goes on (SIGCONT), still in the middle of term %d", old.id, term)
	if err := old.signal(syscall.SIGCONT); err != nil {
		return err
	}
	_, err := s.await(ctx, "the old leader's write is refused", func(r reported) bool {
		return r.from == old && r.Term == term && r.Kind == refused
	})
	return err
}

// leave asks the leader to end.
func (s *stage) leave(ctx context.Context) error {
	old := s.leader
	s.line.say("tour", "%s is asked to leave (SIGTERM)", old.id)
	asked := time.Now()
	if err := old.signal(syscall.SIGTERM); err != nil {
		return err
	}
	if err := s.awaitLeader(ctx); err != nil {
		return err
	}
	for !old.exited {
		if _, err := s.await(ctx, "the end of "+old.id, func(r reported) bool { return r.Kind == exited }); err != nil {
			return err
		}
	}
	s.line.say("tour", "%.0f ms from the request to the next leader", s.since.Sub(asked).Seconds()*1000)
	return nil
}

// verify reads all that was ever written, in the order in which the store saw
// it: the terms never go back. Then it asks the same of the leaders' own words.
func (s *stage) verify(ctx context.Context) error {
	read, err := s.store.Read(ctx, driver.Dir("work"))
	if err != nil {
		return err
	}
	entries := read[0]
	slices.SortFunc(entries, func(a, b backend.Entry) int { return cmp.Compare(a.Created, b.Created) })
	count := make(map[uint64]int)
	var terms []uint64
	for _, entry := range entries {
		number, _, _ := strings.Cut(path.Base(entry.Key), ".")
		term, err := strconv.ParseUint(number, 10, 64)
		if err != nil {
			return err
		}
		if n := len(terms); n > 0 && term < terms[n-1] {
			return fmt.Errorf("a write of term %d came after one of term %d", term, terms[n-1])
		} else if n == 0 || term > terms[n-1] {
			terms = append(terms, term)
		}
		count[term]++
	}
	for _, term := range terms {
		s.line.say("store", "term %d: %d writes", term, count[term])
	}
	if len(terms) != 4 {
		return fmt.Errorf("writes of %d terms, 4 have led", len(terms))
	}
	s.line.say("tour", "%d writes, and after the first of a term never one of an earlier term", len(entries))
	for i, term := range terms[1:] {
		before, this := s.tenures[terms[i]], s.tenures[term]
		if before.until == 0 || this.from == 0 {
			return fmt.Errorf("the leaders of terms %d and %d did not report when they led", terms[i], term)
		}
		if overlap := time.Duration(before.until - this.from); overlap >= 0 {
			return fmt.Errorf("the leader of term %d held itself for the leader until %v after term %d began", terms[i], overlap, term)
		}
	}
	s.line.say("tour", "by the leaders' own reports, none began while the one before held itself for the leader")
	return nil
}

// awaitLeader waits for the next leader, and for some writes of it.
func (s *stage) awaitLeader(ctx context.Context) error {
	r, err := s.await(ctx, "a leader", func(r reported) bool { return r.Kind == leading })
	if err != nil {
		return err
	}
	s.leader, s.term, s.since = r.from, r.Term, time.Now()
	_, err = s.await(ctx, "writes of the leader", func(r reported) bool { return r.Kind == wrote && r.from == s.leader })
	return err
}

// awaitQueue waits until so many wait in line, the leader included.
func (s *stage) awaitQueue(ctx context.Context, n int) error {
	w, err := s.store.Watch(driver.Dir("election/leader/queue"))
	if err != nil {
		return err
	}
	defer w.Close()
	ctx, cancel := context.WithTimeoutCause(ctx, s.patience(), errors.New("not all workers joined in time"))
	defer cancel()
	for {
		if err := w.Next(ctx); err != nil {
			return err
		}
		if len(w.Entries(0)) == n {
			s.line.say("tour", "%d wait in line, each for the one ahead of it", n-1)
			return nil
		}
	}
}

// await passes on what workers report until one report is what is waited for.
func (s *stage) await(ctx context.Context, what string, is func(reported) bool) (reported, error) {
	timer := time.NewTimer(s.patience())
	defer timer.Stop()
	for {
		select {
		case r := <-s.reports:
			if err := s.tell(r); err != nil {
				return r, err
			}
			if is(r) {
				return r, nil
			}
		case <-ctx.Done():
			return reported{}, context.Cause(ctx)
		case <-timer.C:
			return reported{}, fmt.Errorf("waited %v for %s", s.patience(), what)
		}
	}
}

// patience is more than any store takes to give up on a process.
func (s *stage) patience() time.Duration { return 3*s.ttl + 10*time.Second }

// tell prints a report, and fails on one that must not be.
func (s *stage) tell(r reported) error {
	switch r.Kind {
	case leading:
		s.line.say(r.from.id, "leads, term %d", r.Term)
		s.tenures[r.Term] = tenure{from: r.At}
		if r.Term <= s.term {
			return fmt.Errorf("term %d after %d", r.Term, s.term)
		}
	case trusted:
		s.tenures[r.Term] = tenure{from: s.tenures[r.Term].from, until: r.At}
	case ended:
		s.line.say(r.from.id, "term %d is over: %s", r.Term, r.Text)
	case refused:
		s.line.say(r.from.id, "its write under term %d was refused: %s", r.Term, r.Text)
	case applied:
		return fmt.Errorf("a write under the old term %d was applied", r.Term)
	case exited:
		r.from.exited = true
		s.line.say(r.from.id, "its process has ended: %s", r.Text)
	case failed:
		return fmt.Errorf("%s: %s", r.from.id, r.Text)
	}
	return nil
}
