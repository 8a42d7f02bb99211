package election_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/election"
)

func TestStatus(t *testing.T) {
	// Catches: the leader among those who wait, the queue in the order of its
	// nonces, an unclean end that passes for a clean one, a look that leaves
	// something behind.
	synctest.Test(t, func(t *testing.T) {
		server := memory.NewServer()
		watcher := candidate(t, open(t, server), nil)
		status := func(when string, want election.Status, queue ...string) {
			t.Helper()
			got, err := watcher.Status(t.Context())
			if err != nil {
				t.Fatalf("%s: %v", when, err)
			}
			var ids []string
			nonces := map[string]bool{}
			for _, c := range got.Queue {
				ids = append(ids, c.ID)
				nonces[c.Nonce] = true
			}
			if !slices.Equal(ids, queue) || len(nonces) != len(queue) {
				t.Errorf("%s: the queue is %+v, want %q", when, got.Queue, queue)
			}
			if got.Leader.ID != want.Leader.ID || got.Leader.Term != want.Leader.Term || got.Term != want.Term || got.Holder != want.Holder || got.Clean != want.Clean {
				t.Errorf("%s: %+v, want %+v", when, got, want)
			}
		}
		status("before the first", election.Status{})
		if n := len(server.Entries()); n != 0 {
			t.Errorf("looking left %d keys", n)
		}
		stores := make(map[string]*backend.Store)
		leads := make(map[string]chan *election.Leadership)
		ctx, cancel := context.WithCancel(t.Context())
		for _, id := range []string{"z", "b", "y", "a"} {
			stores[id] = open(t, server)
			leads[id] = make(chan *election.Leadership, 1)
			e := candidate(t, stores[id], &election.Options{ID: id, Meta: map[string]string{"of": id}})
			go func() {
				if lead, err := e.Campaign(ctx); err == nil {
					leads[id] <- lead
				}
			}()
			synctest.Wait()
			time.Sleep(time.Second)
		}
		led := func(id string, term uint64) election.Status {
			return election.Status{Leader: election.Leader{ID: id, Term: term}, Term: term, Holder: id}
		}
		status("led", led("z", 2), "b", "y", "a")
		resign(t, <-leads["z"])
		synctest.Wait()
		status("handed over", led("b", 3), "y", "a")
		cancel()
		synctest.Wait()
		resign(t, <-leads["b"])
		status("resigned", election.Status{Term: 3, Holder: "b", Clean: true})

		lead := campaign(t, candidate(t, stores["y"], &election.Options{ID: "y"}))
		status("again", led("y", 4))
		server.Delete(key(t, "tenure/leader"))
		<-lead.Context().Done()
		status("deposed by hand", election.Status{Term: 4, Holder: "y"})
		server.SetDown(true)
		short, end := context.WithTimeout(t.Context(), time.Second)
		defer end()
		if _, err := watcher.Status(short); !errors.Is(err, backend.ErrUnavailable) {
			t.Errorf("without a store: %v", err)
		}
		server.SetDown(false)
	})
}

func key(t *testing.T, rest string) string {
	t.Helper()
	k, err := backend.Path("election", "test", rest)
	if err != nil {
		t.Fatal(err)
	}
	return backend.DefaultNamespace + "/" + k
}

func TestStatusOfAnUnknownFormat(t *testing.T) {
	// Catches: a leader that cannot be read passes for none, and a candidate
	// that cannot be read is left out.
	synctest.Test(t, func(t *testing.T) {
		store := open(t, memory.NewServer())
		e := candidate(t, store, nil)
		plant(t, store, "queue/X")
		if s, err := e.Status(t.Context()); err != nil || len(s.Queue) != 1 || s.Queue[0].Nonce != "X" {
			t.Errorf("with an unknown candidate: %+v, %v", s, err)
		}
		plant(t, store, "tenure/leader")
		if s, err := e.Status(t.Context()); !errors.Is(err, backend.ErrFormat) {
			t.Errorf("with an unknown leader: %+v, %v", s, err)
		}
	})
}

func ExampleElection_Status() {
	store, err := memory.New(nil)
	if err != nil {
		panic(err)
	}
	defer store.Close()
	e, err := election.New(store, "billing/nightly", &election.Options{ID: "worker-7"})
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	lead, err := e.Campaign(ctx)
	if err != nil {
		panic(err)
	}
	show := func() {
		s, err := e.Status(ctx)
		if err != nil {
			panic(err)
		}
		fmt.Printf("leader %q, term %d by %s, over in order: %v, %d wait\n", s.Leader.ID, s.Term, s.Holder, s.Clean, len(s.Queue))
	}
	show()
	if err := lead.Resign(ctx); err != nil {
		panic(err)
	}
	show()
	// Output:
	// leader "worker-7", term 2 by worker-7, over in order: false, 0 wait
	// leader "", term 2 by worker-7, over in order: true, 0 wait
}
