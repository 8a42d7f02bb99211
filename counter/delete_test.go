package counter_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/faults"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/counter"
)

// keysOf returns the keys of the server, without its namespace.
func keysOf(server *memory.Server) string {
	var keys []string
	for _, e := range server.Entries() {
		keys = append(keys, strings.TrimPrefix(e.Key, "quorate/"))
	}
	return strings.Join(keys, " ")
}

func remove(t *testing.T, deleted interface {
	Delete(ctx context.Context) error
},
) {
	t.Helper()
	if err := deleted.Delete(t.Context()); err != nil {
		t.Error(err)
	}
}

// However many counters come and go, one key stays.
func TestDeleteLeavesOneKey(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		p, q := start(t, server, nil), start(t, server, nil)
		remove(t, p) // nobody has written it
		if keys := keysOf(server); keys != "" {
			t.Errorf("a deletion of nothing writes %s", keys)
		}
		for range 3 {
			p.add(t, 5, 5)
			q.add(t, 1, 6)
			remove(t, q)
			if value, err := p.Value(t.Context()); err != nil || value != 0 {
				t.Errorf("the value is %d, %v after a deletion", value, err)
			}
			if keys := keysOf(server); keys != "counter/%floor" {
				t.Errorf("left: %s", keys)
			}
		}
		tally := p.tally(t, &counter.TallyOptions{Shards: 3})
		tally.Add(7)
		if err := tally.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		remove(t, tally)
		total(t, tally, 0)
		tally.Add(2)
		if err := tally.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		total(t, tally, 2)
		remove(t, tally)
		remove(t, p.sequence(t, nil))
		if keys := keysOf(server); keys != "counter/%floor tally/%floor" {
			t.Errorf("left: %s", keys)
		}
	})
}

// An add that was given up lands in no counter that begins after a deletion,
// whichever state its commit depended on: that a document was there, or none.
func TestLateAddAfterDelete(t *testing.T) {
	for _, created := range []bool{true, false} {
		bubble(t, func(t *testing.T, server *memory.Server) {
			p, q := start(t, server, nil), start(t, server, nil)
			if created {
				p.add(t, 1, 1)
			}
			p.faults.Next(faults.Commit, faults.Fault{LandLater: time.Hour})
			if !created {
				p.faults.Next(faults.Read, faults.Fault{}) // before the commit
			}
			// The look after it finds no store: the caller gives up.
			p.faults.Next(faults.Read, faults.Fault{Delay: time.Hour})
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := p.Add(ctx, 100); !errors.Is(err, backend.ErrIndeterminate) {
				t.Fatalf("Add = %v, want ErrIndeterminate", err)
			}
			if !created {
				q.add(t, 1, 1)
			}
			remove(t, q)
			want := int64(0)
			if created {
				// On this store versions of a key begin anew with each creation: what is
				// created now has the version that the late commit depends on.
				q.add(t, 1, 1)
				want = 1
			}
			time.Sleep(2 * time.Hour)
			if value, err := q.Value(t.Context()); err != nil || value != want {
				t.Errorf("created before: %t: the value is %d, %v, want %d", created, value, err, want)
			}
			q.add(t, 1, want+1)
		})
	}
}

// An add whose reply was lost is not guessed by a document that was made after a
// deletion: it was applied to the one before.
func TestAddInDoubtAcrossDelete(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		p, q := start(t, server, nil), start(t, server, nil)
		hit := p.faults.Next(faults.Commit, faults.Fault{LoseReply: true, ReplyDelay: time.Second}).Hit()
		go func() {
			<-hit
			time.Sleep(time.Millisecond)
			remove(t, q)
			q.add(t, 1, 1)
		}()
		if n, err := p.Add(t.Context(), 100); !errors.Is(err, backend.ErrIndeterminate) {
			t.Errorf("Add = %d, %v, want ErrIndeterminate", n, err)
		}
		p.add(t, 1, 2)
	})
}

// A deletion that was given up deletes no counter that began after the next.
func TestLateDelete(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		p, q := start(t, server, nil), start(t, server, nil)
		p.add(t, 1, 1)
		p.faults.Next(faults.Commit, faults.Fault{LandLater: time.Hour})
		p.faults.Next(faults.Read, faults.Fault{})
		p.faults.Next(faults.Read, faults.Fault{})
		hit := p.faults.Next(faults.Read, faults.Fault{Delay: time.Minute}).Hit()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_ = hit
		err := p.Delete(ctx)
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Delete = %v", err)
		}
		remove(t, q)
		q.add(t, 7, 7)
		time.Sleep(2 * time.Hour)
		q.add(t, 1, 8)
	})
}

// Processes count while a counter is deleted again and again: the counters that
// were deleted and the one that is there have each add once.
func TestAddsWhileDeleted(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		const processes, adds = 3, 100
		var mu sync.Mutex
		results := make(map[int64]int)
		var all sync.WaitGroup
		for range processes {
			p := start(t, server, nil)
			all.Go(func() {
				for range adds {
					n, err := p.Add(t.Context(), 1)
					if err != nil {
						t.Error(err)
						continue
					}
					mu.Lock()
					results[n]++
					mu.Unlock()
					time.Sleep(time.Millisecond)
				}
			})
		}
		q := start(t, server, nil)
		deletions := 0
		for range 20 {
			time.Sleep(3 * time.Millisecond)
			remove(t, q)
			deletions++
		}
		all.Wait()
		sum := 0
		for n, times := range results {
			sum += times
			if times > deletions+1 || n > 1 && results[n-1] < times {
				t.Errorf("%d was a result %d times, and %d was %d times", n, times, n-1, results[n-1])
			}
		}
		if sum != processes*adds {
			t.Errorf("%d results for %d adds", sum, processes*adds)
		}
	})
}

// Numbers never come again, whatever is deleted and whoever goes on.
func TestSequenceDelete(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		p, q := start(t, server, nil), start(t, server, nil)
		s, r := p.sequence(t, nil), q.sequence(t, nil)
		seen := make(map[uint64]bool)
		draw := func(s *counter.Sequence) {
			t.Helper()
			n := next(t, s)
			if seen[n] {
				t.Errorf("%d twice", n)
			}
			seen[n] = true
		}
		for i := range 300 {
			draw(s)
			draw(r)
			switch i % 100 {
			case 30:
				// A reservation on its way to the document that goes.
				p.faults.NextCommit(func(txn driver.Txn) bool { return strings.Contains(txn.Ops[0].Key, "/s/value") }, faults.Fault{LandLater: time.Minute})
			case 50:
				remove(t, r)
			case 51:
				other, err := counter.NewSequence(start(t, server, nil).store, "s", nil)
				if err != nil {
					t.Fatal(err)
				}
				draw(other)
				other.Close()
			case 60:
				time.Sleep(2 * time.Minute)
			}
		}
		remove(t, r)
		last, err := counter.NewSequence(q.store, "another", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer last.Close()
		for n := range seen {
			if first := next(t, last); first <= n {
				t.Errorf("a sequence that begins later starts at %d, and %d was given out", first, n)
				break
			}
		}
	})
}
