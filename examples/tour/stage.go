package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/open"
)

// stage is where the tour plays: a store, the workers, and what they report.
type stage struct {
	line      *timeline
	url       string
	namespace string
	ttl       time.Duration
	store     *backend.Store

	workers []*worker
	reports chan reported
	over    chan struct{} // closed when nobody takes reports any more
	leader  *worker
	term    uint64
	since   time.Time // when it began to lead
	tenures map[uint64]*tenure
	slots   [slots]slot
}

// tenure is a term as its leader saw it.
type tenure struct {
	from, until int64 // in nanoseconds of the machine's clock
	begin, done int64 // the last item that was done before it, and by it
}

// reported is an event of a worker.
type reported struct {
	event
	from *worker
}

func newStage(ctx context.Context, line *timeline, url string, ttl time.Duration) (*stage, error) {
	target, err := open.Parse(url)
	if err != nil {
		return nil, err
	}
	ttl = cmp.Or(ttl, target.MinTTL())
	namespace := "tour-" + strings.ToLower(rand.Text()[:8]) // each run has its own
	store, err := target.Open(&backend.Options{Namespace: namespace, TTL: ttl, Logger: quiet})
	if err != nil {
		return nil, err
	}
	s := &stage{
		line: line, url: url, namespace: namespace, ttl: ttl,
		store:   store,
		reports: make(chan reported, 1024), over: make(chan struct{}), tenures: make(map[uint64]*tenure),
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
}

func (s *stage) removeKeys(ctx context.Context) error {
	const e = "election/leader/"
	read, err := s.store.Read(ctx, driver.Dir("work"), driver.Dir(e+"tenure"), driver.Key(e+"term"),
		driver.Key("checkpoint/items/value"), driver.Key("counter/sum/value~0"), driver.Key("counter/%floor"), driver.Dir("membership/workers/members"),
		driver.Key("partition/work/plan"), driver.Dir("partition/work/line"))
	if err != nil {
		return err
	}
	persistent := slices.DeleteFunc(slices.Concat(read...), func(e backend.Entry) bool { return e.Lease != "" })
	for entries := range slices.Chunk(persistent, driver.MaxOps) {
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

// start starts a worker.
func (s *stage) start(id string) (*worker, error) {
	w, err := startWorker(task{ID: id, URL: s.url, Namespace: s.namespace, TTL: s.ttl}, s.reports, s.over)
	if err != nil {
		return nil, err
	}
	s.workers = append(s.workers, w)
	s.line.say(w.id, "started as process %d", w.pid())
	return w, nil
}
