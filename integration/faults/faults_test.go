// Package faults proves the library against faults of real clusters: client
// processes use all primitives at once, a nemesis that has a seed breaks
// servers, networks, clients and what the store holds, and checkers that know
// nothing of the library judge what the processes wrote down.
//
// kinds_test.go is the table of the faults, and of what holds under which.
// history_test.go has the checkers, recovery_test.go what must be at work
// again and within what time, client_test.go what a client does.
//
// The short share runs some faults once, drawn with a fixed seed. QUORATE_FAULTS
// is how many rounds of each there are to be instead, QUORATE_FAULTS_FOR for
// how long faults are to be drawn, QUORATE_KINDS which (their names, separated
// by commas), QUORATE_SEED repeats a run, QUORATE_FAULTS_PAGE is a page to write
// the table to.
package faults

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/integration/harness"
)

func TestMain(m *testing.M) { harness.Main(m, do) }

// TestFaults runs on each store.
func TestFaults(t *testing.T) {
	harness.EachStore(t, func(t *testing.T, store harness.Store) { runFaults(t, store.Name) })
}

// share is what the short share takes.
var share = []string{
	"leader paused", "full outage", "a client parted", "client killed", "backup restored", "keys deleted by hand",
}

func runFaults(t *testing.T, store string) {
	rounds, length := harness.Number(t, "QUORATE_FAULTS", 0), duration(t, "QUORATE_FAULTS_FOR")
	seed := uint64(harness.Number(t, "QUORATE_SEED", 1))
	clients, slack := 4, time.Duration(0)
	if short := rounds == 0 && length == 0; short {
		clients, slack = 3, 10*time.Second // the tests have company
	} else if os.Getenv("QUORATE_SEED") == "" {
		seed = uint64(rand.Uint32())
	}
	t.Logf("%s, seed %d (QUORATE_SEED)", store, seed)
	r := startRun(t, store, 3*time.Second, clients, seed)
	r.slack = slack
	ctx := t.Context()
	start, err := r.recover(ctx, harness.Now(), kind{name: "start", held: true}, r.clients)
	if err != nil {
		t.Fatalf("at the start: %v", err)
	}
	t.Logf("%d clients are at work after %v", clients, start["partition"].Round(time.Millisecond))
	s := newSummary(store, seed)
	began := time.Now()
	for n := 1; ; n++ {
		todo := r.schedule(max(rounds, 1), chosen(t, store, rounds == 0 && length == 0))
		for i, k := range todo {
			if length > 0 && time.Since(began) > length {
				todo = nil
				break
			}
			o := r.round(ctx, k)
			s.add(k, o)
			t.Logf("%v %d/%d %s: store away %v and %v again, back at work: %v; %d wrong", time.Since(began).Round(time.Second), i+1, len(todo), k.name,
				o.away.Round(time.Millisecond), o.again.Round(time.Millisecond), slowest(o), len(o.wrong))
			for _, wrong := range o.wrong[:min(len(o.wrong), 10)] {
				t.Errorf("%s: %s", k.name, wrong)
			}
		}
		if length == 0 || todo == nil {
			break
		}
	}
	before := len(r.h.wrong)
	r.finish(ctx)
	for _, wrong := range r.h.wrong[before:] {
		t.Errorf("at the end: %s", wrong)
	}
	if all := rounds > 0 && os.Getenv("QUORATE_KINDS") == ""; all && r.h.fenced == 0 {
		t.Error("no write under an old term was ever tried")
	}
	r.closesDead(ctx)
	t.Logf("%d adds, %d numbers, %d steps of the checkpoint, %d tenures, %d late writes refused, locks taken %v, %d IDs, %d units of the quota\n%v",
		len(r.h.calls), len(r.h.numbers), len(r.h.progress), len(r.h.tenures), r.h.fenced, r.h.lockHistory.locked, len(r.h.drawn), r.h.units, s)
	if page := os.Getenv("QUORATE_FAULTS_PAGE"); page != "" && !t.Failed() {
		if err := s.write(page); err != nil {
			t.Error(err)
		}
	}
}

// chosen returns the kinds to run.
func chosen(t *testing.T, store string, short bool) (some []kind) {
	names := share
	if text := os.Getenv("QUORATE_KINDS"); text != "" {
		names = strings.Split(text, ",")
	} else if !short {
		names = nil
		for _, k := range kinds {
			names = append(names, k.name)
		}
	}
	for _, name := range names {
		found := false
		for _, k := range kinds {
			if k.name == name {
				found = true
				if k.stores == "" || strings.Contains(k.stores, store) {
					some = append(some, k)
				}
			}
		}
		if !found {
			t.Fatalf("there is no kind %q", name)
		}
	}
	return some
}

// schedule shuffles so many rounds of each kind.
func (r *run) schedule(rounds int, some []kind) (all []kind) {
	for range rounds {
		all = append(all, some...)
	}
	r.random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

func duration(t testing.TB, name string) time.Duration {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return d
}

// slowest names the part that was back last.
func slowest(o outcome) string {
	last := ""
	for _, p := range parts {
		if last == "" || o.recovered[p.name] > o.recovered[last] {
			last = p.name
		}
	}
	return fmt.Sprintf("%v (%s)", o.recovered[last].Round(time.Millisecond), last)
}
