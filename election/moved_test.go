package election_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/election"
)

// leadIn starts Run and returns the channel on which each leadership comes.
func leadIn(t *testing.T, e *election.Election) <-chan *election.Leadership {
	leads := make(chan *election.Leadership, 16)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = e.Run(ctx, func(ctx context.Context, lead *election.Leadership) error {
			leads <- lead
			<-ctx.Done()
			return nil
		})
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return leads
}

// TestAProbeThatHangsCountsAsUnhealthy: the leader steps down within a quarter of the
// TTL, and no second probe is begun beside the one that hangs.
func TestAProbeThatHangsCountsAsUnhealthy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := memory.NewServer()
		release, hang := make(chan struct{}), new(atomic.Bool)
		var running, most atomic.Int32
		first := leadIn(t, candidate(t, open(t, server), &election.Options{ID: "first", Healthy: func(context.Context) error {
			most.Store(max(most.Load(), running.Add(1)))
			defer running.Add(-1)
			if hang.Load() {
				<-release
			}
			return nil
		}}))
		lead := <-first
		second := leadIn(t, candidate(t, open(t, server), &election.Options{ID: "second"}))
		synctest.Wait()
		hang.Store(true)
		began := time.Now()
		<-lead.Context().Done()
		if took := time.Since(began); took > ttl/4 {
			t.Errorf("it stepped down after %v, want %v at most", took, ttl/4)
		}
		if cause := context.Cause(lead.Context()); !errors.Is(cause, election.ErrUnhealthy) {
			t.Errorf("the cause of its end is %v, want ErrUnhealthy", cause)
		}
		<-second
		time.Sleep(10 * ttl)
		if most.Load() > 1 {
			t.Errorf("%d probes at a time", most.Load())
		}
		status, err := candidate(t, open(t, server), nil).Status(t.Context())
		if err != nil || status.Leader.ID != "second" || len(status.Queue) != 0 {
			t.Errorf("%+v, %v, want the second as the leader and an empty queue", status, err)
		}
		hang.Store(false)
		close(release)
	})
}

// TestACandidateThatIsGoneMovesNobody: a leader steps down only for a candidate that
// has waited for Settle without a break.
func TestACandidateThatIsGoneMovesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := memory.NewServer()
		const settle = time.Minute
		low := leadIn(t, candidate(t, open(t, server), &election.Options{ID: "low", Settle: settle}))
		lead := <-low
		high := candidate(t, open(t, server), &election.Options{ID: "high", Priority: 1, Settle: settle})
		for range 5 {
			ctx, cancel := context.WithTimeout(t.Context(), settle-time.Second)
			if _, err := high.Campaign(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Campaign = %v", err)
			}
			cancel()
		}
		if !lead.Valid() {
			t.Fatalf("it stepped down: %v", context.Cause(lead.Context()))
		}
		began := time.Now()
		_ = leadIn(t, high)
		<-lead.Context().Done()
		if took := time.Since(began); took < settle || took > settle+time.Second {
			t.Errorf("it stepped down after %v, want %v", took, settle)
		}
	})
}

// TestALowerCandidateAtTheHeadIsPassed: the head of the queue that watches the
// office reads the queue before it takes it, for one with a higher priority came.
func TestALowerCandidateAtTheHeadIsPassed(t *testing.T) {
	for _, crash := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			server := memory.NewServer()
			held := open(t, server)
			lead, err := candidate(t, held, &election.Options{ID: "first", Settle: time.Hour}).Campaign(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			low := leadIn(t, candidate(t, open(t, server), &election.Options{ID: "low", Settle: time.Hour}))
			synctest.Wait()
			// The Store of the higher one is slow: were the order a matter of speed, the
			// other would be first.
			store := over(t, slow{memory.NewDriver(server)})
			high := leadIn(t, candidate(t, store, &election.Options{ID: "high", Priority: 1, Settle: time.Hour}))
			time.Sleep(time.Second)
			synctest.Wait()
			if crash {
				_ = held.Close()
			} else if err := lead.Resign(t.Context()); err != nil {
				t.Fatal(err)
			}
			select {
			case l := <-low:
				t.Errorf("crash %t: the lower one leads, in term %d", crash, l.Term())
			case <-high:
			}
		})
	}
}

// TestBadOptionsOfMoves: what makes no sense is ErrInvalid.
func TestBadOptionsOfMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if _, err := election.New(open(t, memory.NewServer()), "e", &election.Options{Settle: -1}); !errors.Is(err, backend.ErrInvalid) {
			t.Errorf("New with a negative Settle = %v", err)
		}
	})
}

// TestRunCampaignsAgainIfTheBodySaysSo: ErrAgain gives the office to the candidate
// that waits, and Run leads again after it.
func TestRunCampaignsAgainIfTheBodySaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := memory.NewServer()
		first, second := candidate(t, open(t, server), nil), candidate(t, open(t, server), nil)
		var order []string
		done := make(chan error)
		joined := make(chan struct{})
		go func() {
			<-joined
			done <- second.Run(t.Context(), func(context.Context, *election.Leadership) error {
				order = append(order, "second")
				return nil
			})
		}()
		err := first.Run(t.Context(), func(context.Context, *election.Leadership) error {
			order = append(order, "first")
			if len(order) > 1 {
				return errBody
			}
			close(joined)
			synctest.Wait()
			return fmt.Errorf("a change of plans: %w", election.ErrAgain)
		})
		if !errors.Is(err, errBody) {
			t.Errorf("Run = %v, want the body's own error", err)
		}
		if err := <-done; err != nil {
			t.Errorf("the second's Run = %v", err)
		}
		if want := []string{"first", "second", "first"}; !slices.Equal(order, want) {
			t.Errorf("%v led, want %v", order, want)
		}
	})
}
