package counter_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/faults"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/counter"
)

// process is one process that counts in a bubble.
type process struct {
	*counter.Counter
	store  *backend.Store
	faults *faults.Driver
}

func start(t *testing.T, server *memory.Server, options *counter.Options) *process {
	t.Helper()
	p := &process{faults: faults.Wrap(memory.NewDriver(server))}
	var err error
	if p.store, err = backend.New(p.faults, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.store.Close() })
	if p.Counter, err = counter.New(p.store, "c", options); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *process) add(t *testing.T, delta, want int64) {
	t.Helper()
	if got, err := p.Add(t.Context(), delta); err != nil || got != want {
		t.Errorf("Add(%d) = %d, %v, want %d", delta, got, err, want)
	}
}

func (p *process) value(t *testing.T, want int64) {
	t.Helper()
	if got, err := p.Value(t.Context()); err != nil || got != want {
		t.Errorf("Value() = %d, %v, want %d", got, err, want)
	}
}

// bubble runs a test in virtual time, against a store of its own.
func bubble(t *testing.T, test func(t *testing.T, server *memory.Server)) {
	synctest.Test(t, func(t *testing.T) { test(t, memory.NewServer()) })
}

func TestAddAndValue(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		p, q := start(t, server, nil), start(t, server, nil)
		p.value(t, 0)
		p.add(t, 5, 5)
		q.add(t, -7, -2)
		p.add(t, 0, -2)
		q.value(t, -2)
	})
}

// One caller costs one commit and no read, once the document is known.
func TestOneCallerOneCommit(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		p := start(t, server, nil)
		p.add(t, 1, 1)
		before := server.Stats()
		for i := range int64(10) {
			p.add(t, 1, i+2)
		}
		after := server.Stats()
		if after.Reads != before.Reads || after.Commits != before.Commits+10 {
			t.Errorf("10 adds took %d reads and %d commits", after.Reads-before.Reads, after.Commits-before.Commits)
		}
	})
}

// Adds that come while a commit is under way go out together, and each add
// gets a result of its own.
func TestAddsCombine(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		p := start(t, server, nil)
		p.add(t, 1, 1)
		p.faults.Next(faults.Commit, faults.Fault{Delay: time.Second})
		var mu sync.Mutex
		var results []int64
		var wg sync.WaitGroup
		before := server.Stats().Commits
		for range 64 {
			wg.Go(func() {
				got, err := p.Add(t.Context(), 1)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				results = append(results, got)
			})
		}
		wg.Wait()
		if n := server.Stats().Commits - before; n > 2 {
			t.Errorf("64 adds took %d commits, want the first and the others", n)
		}
		slices.Sort(results)
		for i, got := range results {
			if got != int64(i)+2 {
				t.Fatalf("results %v, want 2 to 65", results)
			}
		}
	})
}

// A lost reply does not count twice, and a lost request is not lost.
func TestLostReplyAndRequest(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		p := start(t, server, nil)
		p.faults.Next(faults.Commit, faults.Fault{LoseReply: true})
		p.add(t, 1, 1)
		p.faults.Next(faults.Commit, faults.Fault{LoseReply: true})
		p.faults.Next(faults.Commit, faults.Fault{LoseReply: true})
		p.add(t, 1, 2)
		p.faults.Next(faults.Commit, faults.Fault{LandLater: time.Minute})
		p.add(t, 1, 3)
		time.Sleep(2 * time.Minute) // the first attempt lands
		p.value(t, 3)
		p.faults.Next(faults.Commit, faults.Fault{LandLater: time.Millisecond})
		p.faults.Next(faults.Commit, faults.Fault{Delay: time.Second})
		p.add(t, 1, 4) // the second attempt finds that the first has landed
		p.value(t, 4)
	})
}

// However long the store cannot be read, an add in doubt is settled by what
// the document says in the end.
func TestSettledAfterALongOutage(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		p, q := start(t, server, nil), start(t, server, nil)
		lost := p.faults.Next(faults.Commit, faults.Fault{ReplyDelay: time.Millisecond})
		done := make(chan struct{})
		go func() {
			defer close(done)
			p.add(t, 1, 1)
		}()
		<-lost.Hit()
		synctest.Wait() // applied, and the reply is on its way
		p.faults.Partition(true)
		for i := range int64(10) {
			q.add(t, 1, i+2)
		}
		time.Sleep(24 * time.Hour)
		p.faults.Partition(false)
		<-done
		q.value(t, 11)
	})
}

func TestContextEnds(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		p := start(t, server, nil)
		why := errors.New("why")
		ended, end := context.WithCancelCause(t.Context())
		end(why)
		if _, err := p.Add(ended, 1); !errors.Is(err, why) || errors.Is(err, backend.ErrIndeterminate) {
			t.Errorf("Add with a context that has ended: %v, want its cause alone", err)
		}
		p.add(t, 1, 1)

		// Sent, and not known what became of it.
		p.faults.Next(faults.Commit, faults.Fault{Delay: time.Second, ReplyDelay: time.Minute})
		ctx, cancel := context.WithTimeoutCause(t.Context(), 2*time.Second, why)
		defer cancel()
		if _, err := p.Add(ctx, 10); !errors.Is(err, why) || !errors.Is(err, backend.ErrIndeterminate) {
			t.Errorf("Add under way when its context ends: %v, want ErrIndeterminate and the cause", err)
		}
		p.add(t, 1, 12) // it had landed

		// Not sent: the one before is still on its way.
		p.faults.Next(faults.Commit, faults.Fault{Delay: 3 * time.Second})
		first := make(chan struct{})
		go func() {
			defer close(first)
			p.add(t, 1, 13)
		}()
		synctest.Wait()
		ctx2, cancel2 := context.WithTimeoutCause(t.Context(), time.Second, why)
		defer cancel2()
		if _, err := p.Add(ctx2, 100); !errors.Is(err, why) || errors.Is(err, backend.ErrIndeterminate) {
			t.Errorf("Add in the queue when its context ends: %v, want its cause alone", err)
		}
		<-first
		p.value(t, 13)
	})
}

// A caller that gives up during an outage holds nobody up, and what was never
// sent is not in doubt.
func TestGiveUpInAnOutage(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		p := start(t, server, nil)
		p.add(t, 1, 1)
		server.SetDown(true)
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i+1)*10*time.Second)
				defer cancel()
				if _, err := p.Add(ctx, 100); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Add in an outage: %v", err)
				}
			})
		}
		wg.Wait()
		server.SetDown(false)
		p.add(t, 1, 2)
	})
}

// A commit whose caller gave up never lands after a later add was
// acknowledged.
func TestNothingLandsAfterTheNext(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		p := start(t, server, nil)
		p.add(t, 1, 1)
		p.faults.Next(faults.Commit, faults.Fault{LandLater: time.Minute})
		p.faults.Partition(false)
		ctx, cancel := context.WithCancel(t.Context())
		reads := p.faults.Next(faults.Read, faults.Fault{Delay: time.Second})
		go func() {
			<-reads.Hit()
			cancel()
		}()
		if _, err := p.Add(ctx, 100); !errors.Is(err, backend.ErrIndeterminate) {
			t.Errorf("Add given up in doubt: %v", err)
		}
		p.add(t, 1, 2)
		time.Sleep(2 * time.Minute)
		p.value(t, 2)
	})
}

// Once the entry of a commit in doubt may have been pushed out, nobody guesses.
func TestPushedOutEntryIsNotGuessed(t *testing.T) {
	for _, landed := range []bool{true, false} {
		bubble(t, func(t *testing.T, server *memory.Server) {
			p, q, r := start(t, server, nil), start(t, server, nil), start(t, server, nil)
			for _, each := range []*process{p, q, r} {
				counter.SetEntries(each.Counter, 1)
			}
			p.add(t, 1, 1)
			q.add(t, 1, 2)
			p.add(t, 1, 3)
			p.add(t, 0, 3) // p finds itself alone, and reads no more before a commit
			fault := faults.Fault{LandLater: time.Hour}
			if landed {
				fault = faults.Fault{LoseReply: true}
			}
			doubt := p.faults.Next(faults.Commit, fault)
			p.faults.Next(faults.Read, faults.Fault{Delay: time.Second})
			failed := make(chan error, 1)
			go func() {
				_, err := p.Add(t.Context(), 10)
				failed <- err
			}()
			<-doubt.Hit()
			synctest.Wait()
			want := int64(4)
			if landed {
				want = 14
			}
			q.add(t, 1, want)
			r.add(t, 1, want+1)
			if err := <-failed; !errors.Is(err, backend.ErrIndeterminate) {
				t.Errorf("landed %t: %v, want ErrIndeterminate", landed, err)
			}
			p.add(t, 1, want+2)
			time.Sleep(2 * time.Hour)
			p.value(t, want+2)
		})
	}
}

// A refused commit is not in doubt, whoever's entries were pushed out since.
func TestRefusedIsNotInDoubt(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		var all []*process
		for range 3 {
			p := start(t, server, nil)
			counter.SetEntries(p.Counter, 1)
			all = append(all, p)
		}
		for i := range int64(30) {
			all[i%3].add(t, 1, i+1)
		}
	})
}

// The document does not grow beyond its entries, whoever writes.
func TestDocumentIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		for i := range int64(2 * counter.MaxEntries) {
			start(t, server, nil).add(t, math.MaxInt64/1000, (i+1)*(math.MaxInt64/1000))
		}
		entries := server.Entries()
		if len(entries) != 2 || entries[0].Key != "quorate/counter/%floor" || entries[1].Key != "quorate/counter/c/value~0" {
			t.Fatalf("keys %v, want the floor and one", entries)
		}
		value := string(entries[1].Value)
		if n := strings.Count(value, "writer"); n != counter.MaxEntries {
			t.Errorf("%d entries, want %d", n, counter.MaxEntries)
		}
		if !strings.HasPrefix(value, `{"format":1,"value":`) || !strings.Contains(value, `"dropped":64,`) {
			t.Errorf("the document begins %.120s", value)
		}
		if len(value) > 8<<10 {
			t.Errorf("the document has %d bytes", len(value))
		}
	})
}

// Two Counters of one name on one Store are two writers.
func TestTwoCountersOfOneStore(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		p := start(t, server, nil)
		twin, err := counter.New(p.store, "c", nil)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for _, c := range []*counter.Counter{p.Counter, twin} {
			for range 10 {
				wg.Go(func() {
					p.faults.Next(faults.Commit, faults.Fault{LoseReply: true})
					if _, err := c.Add(t.Context(), 1); err != nil {
						t.Error(err)
					}
				})
			}
		}
		wg.Wait()
		p.value(t, 20)
	})
}

func TestClosedStore(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		p := start(t, server, nil)
		p.add(t, 1, 1)
		p.faults.Next(faults.Commit, faults.Fault{Delay: time.Hour})
		failed := make(chan error, 1)
		go func() {
			_, err := p.Add(t.Context(), 1)
			failed <- err
		}()
		synctest.Wait()
		if err := p.store.Close(); err != nil {
			t.Error(err)
		}
		if err := <-failed; !errors.Is(err, backend.ErrClosed) {
			t.Errorf("Add under way at Close: %v, want ErrClosed", err)
		}
		if _, err := p.Add(t.Context(), 1); !errors.Is(err, backend.ErrClosed) {
			t.Errorf("Add after Close: %v, want ErrClosed", err)
		}
	})
}

func TestBadArguments(t *testing.T) {
	store, err := memory.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	one, two := int64(1), int64(2)
	for name, err := range map[string]error{
		"no store":         second(counter.New(nil, "c", nil)),
		"no name":          second(counter.New(store, "", nil)),
		"bounds":           second(counter.New(store, "c", &counter.Options{Min: &two, Max: &one})),
		"sequence":         second(counter.NewSequence(nil, "c", nil)),
		"sequence name":    second(counter.NewSequence(store, "", nil)),
		"sequence block":   second(counter.NewSequence(store, "c", &counter.SequenceOptions{MaxBlock: math.MaxUint64})),
		"tally":            second(counter.NewTally(nil, "c", nil)),
		"tally name":       second(counter.NewTally(store, "", nil)),
		"tally shards":     second(counter.NewTally(store, "c", &counter.TallyOptions{Shards: 65})),
		"tally few shards": second(counter.NewTally(store, "c", &counter.TallyOptions{Shards: -1})),
		"tally interval":   second(counter.NewTally(store, "c", &counter.TallyOptions{Interval: -1})),
	} {
		if !errors.Is(err, backend.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }
