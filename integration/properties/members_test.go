package properties_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/internal/assign"
	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/partition"
	"pgregory.net/rapid"
)

const ttl = 10 * time.Second

// hall is some members that run slots, in virtual time.
type hall struct {
	t       *rapid.T
	server  *memory.Server
	slots   int
	members []*member
	ids     int

	mu      sync.Mutex
	running []map[string]uint64 // of each slot: who runs it, with which token
}

type member struct {
	id     string
	weight int
	driver *memory.Driver
	store  *backend.Store
	reg    *membership.Registration
	cancel context.CancelFunc
	done   chan struct{}
}

// start starts a member, which may be one that was there before.
func (h *hall) start(id string, weight int) {
	m := &member{id: id, weight: weight, driver: memory.NewDriver(h.server), done: make(chan struct{})}
	check := func(err error) {
		if err != nil {
			h.t.Fatal(err)
		}
	}
	var err error
	m.store, err = backend.New(m.driver, &backend.Options{TTL: ttl})
	check(err)
	group, err := membership.New(m.store, "g", nil)
	check(err)
	part, err := partition.New(group, "p", &partition.Options{Slots: h.slots, Weight: weight})
	check(err)
	m.reg, err = group.Join(context.Background(), membership.Member{ID: id})
	check(err)
	h.members = append(h.members, m)
	var ctx context.Context
	ctx, m.cancel = context.WithCancel(context.Background())
	go func() {
		defer close(m.done)
		if err := part.Run(ctx, m.reg, h.body(id)); !errors.Is(err, context.Canceled) {
			h.t.Errorf("Run of %s: %v", id, err)
		}
	}()
}

func (h *hall) body(id string) func(context.Context, *partition.Slot) error {
	return func(ctx context.Context, slot *partition.Slot) error {
		h.mu.Lock()
		running := h.running[slot.Number()]
		for other, token := range running {
			h.t.Errorf("slot %d begins at %s with token %d while %s runs it with token %d", slot.Number(), id, slot.Token(), other, token)
		}
		running[id] = slot.Token()
		h.mu.Unlock()
		<-ctx.Done()
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(running, id)
		return nil
	}
}

// stop ends a member: it leaves, or falls silent for good.
func (h *hall) stop(i int, crash bool) *member {
	m := h.members[i]
	h.members = append(h.members[:i:i], h.members[i+1:]...)
	if crash {
		m.driver.Silence()
		return m
	}
	h.end(m)
	return m
}

func (h *hall) end(m *member) {
	m.cancel()
	<-m.done
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = m.reg.Leave(ctx) // a crashed one cannot
	_ = m.store.Close()
}

// owners returns who runs each slot.
func (h *hall) owners() (ids []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, running := range h.running {
		owner := ""
		for id := range running {
			owner = id
		}
		ids = append(ids, owner)
	}
	return ids
}

// seats returns which of the members these are.
func (h *hall) seats(ids []string) (owners []int) {
	for _, id := range ids {
		owners = append(owners, slices.IndexFunc(h.members, func(m *member) bool { return m.id == id }))
	}
	return owners
}

// TestMembers: as members come, leave, crash and restart, each slot is soon run
// again, by one, the shares are balanced, and no more slots have moved than a
// balance takes; none for a restart.
func TestMembers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { rapid.SyncTest(t, members) })
}

func members(t *rapid.T) {
	h := &hall{t: t, server: memory.NewServer(), slots: rapid.IntRange(1, 40).Draw(t, "slots")}
	for range h.slots {
		h.running = append(h.running, make(map[string]uint64))
	}
	weighted := rapid.Bool().Draw(t, "weighted")
	var gone []*member
	defer func() {
		for _, m := range append(gone, h.members...) {
			h.end(m)
		}
	}()
	for range rapid.IntRange(1, 8).Draw(t, "steps") {
		who := 0
		if len(h.members) > 0 {
			who = rapid.IntRange(0, len(h.members)-1).Draw(t, "who")
		}
		what := rapid.SampledFrom([]string{"join", "join", "leave", "crash", "crash and restart"}).Draw(t, "what")
		if len(h.members) < 2 {
			what = "join" // a crash is seen only by others, see package membership
		}
		before := h.owners()
		switch what {
		case "join":
			weight := 1
			if weighted {
				weight = rapid.IntRange(1, 9).Draw(t, "weight")
			}
			h.ids++
			h.start(fmt.Sprintf("m%d", h.ids), weight)
		case "leave":
			h.stop(who, false)
		case "crash":
			gone = append(gone, h.stop(who, true))
		case "crash and restart":
			m := h.stop(who, true)
			gone = append(gone, m)
			h.start(m.id, m.weight)
		}
		time.Sleep(3 * ttl)
		h.check(what, before)
	}
}

// check checks the owners against who had the slots before.
func (h *hall) check(what string, before []string) {
	var seats []assign.Seat
	for _, m := range h.members {
		seats = append(seats, assign.Seat{Registration: m.id, Weight: m.weight})
	}
	has, owners := h.seats(before), h.seats(h.owners())
	if slices.Contains(owners, assign.Nobody) {
		h.t.Errorf("after a %s not all slots are run: %v", what, h.owners())
	}
	if why := unbalanced(owners, owners, seats); why != "" {
		h.t.Errorf("after a %s: %s: %v", what, why, h.owners())
	}
	got, want := moves(has, owners), fewest(has, seats)
	if got != want || what == "crash and restart" && got != 0 {
		h.t.Errorf("after a %s %d slots have moved, %d are enough", what, got, want)
	}
}
