package faults

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// part is something that must be done again after a fault.
type part struct {
	name string
	// extra is what it may take beyond the bound of the store.
	extra func(*run) time.Duration
	// back returns why it is not at work again since a moment, nil if it is.
	back func(r *run, since int64) error
}

func none(*run) time.Duration { return 0 }

// debounce is what a change of the members takes to be seen: a tenth of a TTL,
// 0.6 s at least.
func debounce(r *run) time.Duration { return max(r.ttl/10, 600*time.Millisecond) }

// settle is what it takes until the slots are planned anew (Options.Settle, once
// to twice) and handed over.
func settle(r *run) time.Duration { return debounce(r) + time.Second + 500*time.Millisecond }

// contention is what it may take until each client has had its turn with the locks.
// Some calls only try, or give up soon.
func contention(r *run) time.Duration { return 3 * time.Duration(len(r.clients)) * longHold }

var parts = []part{
	{"election", none, func(r *run, since int64) error { return r.led(plain, since) }},
	{"counter", none, func(r *run, since int64) error {
		return r.each(func(s *seen) bool { return s.add > since })
	}},
	// The interval of the tally, with its jitter, and that of the client.
	{"tally", func(*run) time.Duration { return flushEvery*5/4 + flushEvery }, func(r *run, since int64) error {
		return r.each(func(s *seen) bool { return s.flush > since })
	}},
	{"sequence", none, func(r *run, since int64) error {
		return r.each(func(s *seen) bool { return s.number > since })
	}},
	{"checkpoint", none, func(r *run, since int64) error {
		some := r.present
		if r.returns {
			some = r.clients
		}
		for _, p := range some {
			if r.seen(p).save > since {
				return nil
			}
		}
		return fmt.Errorf("nobody has saved")
	}},
	{"membership", debounce, func(r *run, _ int64) error {
		want, all := names(r.present), names(r.clients)
		return r.each(func(s *seen) bool { return s.view == want || r.returns && s.view == all })
	}},
	{"partition", settle, func(r *run, since int64) error {
		for i := range slots {
			if err := r.led(fmt.Sprintf("slot/%d", i), since); err != nil {
				return err
			}
		}
		return nil
	}},
	// Each has waited for all others, who hold it as long as they may.
	{"lock", contention, func(r *run, since int64) error {
		return r.each(func(s *seen) bool {
			return s.locked[mutual] > since && s.locked["permit"] > since && s.locked["job"] > since
		})
	}},
	{"ids", none, func(r *run, since int64) error {
		return r.each(func(s *seen) bool { return s.drew > since })
	}},
	// What was reserved by calls without a reply is lost until the window ends.
	{"quota", func(*run) time.Duration { return quotaEvery }, func(r *run, since int64) error {
		if r.h.got < since {
			return fmt.Errorf("nothing was granted")
		}
		return r.each(func(s *seen) bool { return s.asked > since })
	}},
	{"campaigns", none, (*run).queued},
	// An office that was not given up in order is left alone for a TTL.
	{"strict", func(r *run) time.Duration { return r.ttl }, func(r *run, since int64) error { return r.led(strict, since) }},
}

func (r *run) seen(p *process) *seen {
	if s := r.h.processes[p.name]; s != nil {
		return s
	}
	return new(seen)
}

// names are those of clients, as a view has them.
func names(clients []*process) string {
	var ids []string
	for _, p := range clients {
		ids = append(ids, p.id)
	}
	slices.Sort(ids)
	return strings.Join(append(ids, "."), ",")
}

// each returns an error unless is holds for all that are to be at work.
func (r *run) each(is func(*seen) bool) error {
	for _, p := range r.present {
		if s := r.seen(p); !is(s) {
			return fmt.Errorf("%s: %+v", p.name, *s)
		}
	}
	return nil
}

// led returns an error unless somebody owned something when the journals were
// read.
func (r *run) led(what string, since int64) error {
	if at := r.h.fresh[what]; at < since || at < r.cut-int64(300*time.Millisecond) {
		return fmt.Errorf("nobody has %s", what)
	}
	return nil
}

// queued returns an error unless each client campaigns in both elections: it
// has its place in the queue, or leads.
func (r *run) queued(int64) error {
	for _, name := range []string{plain, strict} {
		entries, err := r.entries(context.Background(), place{"election", name, "queue", ""}, place{"election", name, "tenure", "leader"})
		if err != nil {
			return err
		}
		campaigning := make(map[string]bool)
		for _, e := range entries {
			campaigning[e.Lease] = true
		}
		if n := len(campaigning); n != len(r.present) && !(r.returns && n == len(r.clients)) {
			return fmt.Errorf("%d campaign in %s", n, name)
		}
	}
	return nil
}

// bound is within what a store's clients are back at work.
func (r *run) bound() time.Duration {
	if r.rig.Name == "consul" {
		return 2*r.ttl + 2*time.Second
	}
	return r.ttl + 2*time.Second
}

// recover waits until every part is at work again, in each of these clients,
// and returns how long after a moment each was.
func (r *run) recover(ctx context.Context, since int64, k kind, clients []*process) (recovered map[string]time.Duration, err error) {
	r.mu.Lock()
	r.present = clients
	r.mu.Unlock()
	recovered = make(map[string]time.Duration)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		took := time.Duration(r.read() - since)
		missing := r.missing(since, took, recovered)
		for _, p := range clients {
			select {
			case <-p.Done():
				return nil, fmt.Errorf("%s ended by itself: %s", p.name, p.Tail(2000))
			default:
			}
		}
		if missing == nil {
			return recovered, nil
		}
		if ctx.Err() != nil || took > r.bound()+r.ttl+k.extra(r)+time.Minute {
			return nil, fmt.Errorf("not back at work after %v: %w", took, missing)
		}
		<-tick.C
	}
}

// missing notes which parts are at work, and returns why another is not.
func (r *run) missing(since int64, took time.Duration, recovered map[string]time.Duration) (missing error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, part := range parts {
		if part.name == "campaigns" && missing != nil {
			continue // it asks the store, which may take its time
		}
		if err := part.back(r, since); err != nil {
			missing = fmt.Errorf("%s: %w", part.name, err)
			delete(recovered, part.name)
		} else if _, ok := recovered[part.name]; !ok {
			recovered[part.name] = took
		}
	}
	return missing
}

// bounded holds the parts to a bound, with what comes on top. Members may be
// held in the views; only what is made of views waits for that. If the bound is
// counted from when the store was back, that is since, and while the store was
// away again does not count.
func (r *run) bounded(k kind, recovered map[string]time.Duration, bound time.Duration, since int64, when string) {
	for _, part := range parts {
		most := bound + part.extra(r) + r.slack
		if part.name == "membership" || part.name == "partition" {
			most += k.extra(r)
		}
		took := recovered[part.name]
		if since != 0 {
			most += r.probe.again(since, since+int64(took))
		}
		if took > most {
			r.complain("%s was at work again after %v, not within %v%s", part.name, took.Round(time.Millisecond), most, when)
		}
	}
}

func (r *run) complain(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.h.complain(format, args...)
}
