package election_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/election"
)

const ttl = 10 * time.Second

func open(t *testing.T, server *memory.Server) *backend.Store {
	t.Helper()
	store, err := memory.Open(server, &backend.Options{TTL: ttl})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return store
}

// over opens a Store over a driver that does what the test says.
func over(t *testing.T, d driver.Driver) *backend.Store {
	t.Helper()
	store, err := backend.New(d, &backend.Options{TTL: ttl})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

func candidate(t *testing.T, store *backend.Store, opts *election.Options) *election.Election {
	t.Helper()
	e, err := election.New(store, "test", opts)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func campaign(t *testing.T, e *election.Election) *election.Leadership {
	t.Helper()
	lead, err := e.Campaign(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return lead
}

func resign(t *testing.T, lead *election.Leadership) {
	t.Helper()
	if err := lead.Resign(t.Context()); err != nil {
		t.Errorf("Resign: %v", err)
	}
}

func TestCampaignLeadResign(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := memory.NewServer()
		e := candidate(t, open(t, server), &election.Options{ID: "a", Meta: map[string]string{"addr": "1"}})
		if _, err := e.Leader(t.Context()); !errors.Is(err, election.ErrNoLeader) {
			t.Fatalf("Leader before any = %v, want ErrNoLeader", err)
		}
		for term := range uint64(3) {
			lead := campaign(t, e)
			if lead.Term() != term+2 { // the base mark is 1
				t.Errorf("term %d, want %d", lead.Term(), term+2)
			}
			if !lead.Valid() || lead.Confirm(t.Context()) != nil || lead.Context().Err() != nil {
				t.Error("a fresh leadership is not valid")
			}
			leader, err := e.Leader(t.Context())
			if err != nil || leader.ID != "a" || leader.Term != lead.Term() || leader.Meta["addr"] != "1" {
				t.Errorf("Leader = %+v, %v", leader, err)
			}
			if _, err := e.Campaign(t.Context()); !errors.Is(err, election.ErrCampaigning) {
				t.Errorf("second Campaign = %v, want ErrCampaigning", err)
			}
			resign(t, lead)
			if lead.Valid() || !errors.Is(context.Cause(lead.Context()), election.ErrResigned) {
				t.Errorf("after Resign: valid %v, cause %v", lead.Valid(), context.Cause(lead.Context()))
			}
			if err := lead.Confirm(t.Context()); !errors.Is(err, election.ErrResigned) {
				t.Errorf("Confirm after Resign = %v", err)
			}
		}
	})
}

func TestCandidatesAreServedInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := memory.NewServer()
		var order []int
		var wg sync.WaitGroup
		var leading atomic.Int32
		for i := range 20 {
			e := candidate(t, open(t, server), &election.Options{ID: fmt.Sprint(i)})
			wg.Go(func() {
				err := e.Run(t.Context(), func(ctx context.Context, lead *election.Leadership) error {
					if leading.Add(1) != 1 {
						t.Error("two lead")
					}
					order = append(order, i)
					time.Sleep(time.Minute)
					leading.Add(-1)
					return context.Cause(ctx)
				})
				if err != nil {
					t.Errorf("Run of %d: %v", i, err)
				}
			})
			time.Sleep(time.Second)
		}
		wg.Wait()
		for i, got := range order {
			if i != got {
				t.Fatalf("led in the order %v", order)
			}
		}
	})
}

func TestSuccessorAfterSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := memory.NewServer()
		d := memory.NewDriver(server)
		store, err := backend.New(d, &backend.Options{TTL: ttl})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { d.Heal(); _ = store.Close() })
		old := campaign(t, candidate(t, store, nil))
		next := candidate(t, open(t, server), nil)
		ended := make(chan time.Time, 1)
		context.AfterFunc(old.Context(), func() { ended <- time.Now() })
		d.Silence()
		silent := time.Now()
		lead := campaign(t, next)
		if at := <-ended; !at.Before(time.Now()) || old.Valid() {
			t.Errorf("the old leader ended after %v, the new began after %v", at.Sub(silent), time.Since(silent))
		}
		if took := time.Since(silent); took > ttl+time.Second {
			t.Errorf("it took %v until the next leader", took)
		}
		if lead.Term() <= old.Term() {
			t.Errorf("term %d after %d", lead.Term(), old.Term())
		}
		resign(t, lead)
	})
}
