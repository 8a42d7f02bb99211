package partition

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/integration/harness"
)

// fault is something that happens to a worker.
type fault struct {
	after time.Duration // the last one, in which it is left alone
	kill  bool          // SIGKILL, and a start; else SIGSTOP and SIGCONT
	away  time.Duration // until then
}

// schedule draws the faults of the worker with a number, which begin within d.
// Some are over before the store gives away what the worker has, some long
// after. Whatever is drawn, that is so of the first ones of the first two, and
// the others are left alone meanwhile: where more than half vanish at once, the
// members are held, and nothing moves.
func schedule(random *rand.Rand, number int, expiry, d time.Duration) (faults []fault) {
	for at := time.Duration(0); ; {
		f := fault{
			after: ttl/3 + draw(random, 2*ttl),
			kill:  random.IntN(2) == 0,
			away:  draw(random, ttl),
		}
		if random.IntN(2) == 0 {
			f.away = ttl + draw(random, 2*expiry-ttl)
		}
		if long := expiry + ttl; len(faults) == 0 && number < 2 {
			f.kill, f.away = number == 0, long
		} else if len(faults) == 0 {
			f.after += long
		}
		if at += f.after; at > d {
			return faults
		}
		at += f.away
		faults = append(faults, f)
	}
}

func draw(random *rand.Rand, d time.Duration) time.Duration {
	return time.Duration(random.Int64N(int64(d)))
}

// suffer lets the faults happen to a worker, and returns the process that is
// there in the end.
func (r *rig) suffer(w *worker, faults []fault) (*worker, error) {
	for _, f := range faults {
		pause(f.after)
		if f.kill {
			err := w.Kill()
			if err != nil {
				return nil, err
			}
			pause(f.away)
			if w, err = r.start(w.id); err != nil {
				return nil, err
			}
			continue
		}
		if err := w.stop(); err != nil {
			return nil, err
		}
		pause(f.away)
		if err := r.resume(w); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// TestFaults runs on each store.
func TestFaults(t *testing.T) { harness.EachStore(t, runFaults) }

// runFaults kills, restarts, stops and resumes workers at random for a while,
// and judges what they wrote.
func runFaults(t *testing.T, store harness.Store) {
	seconds := harness.Number(t, "QUORATE_FAULT_SECONDS", 12)
	workers, slots := harness.Number(t, "QUORATE_WORKERS", 4), harness.Number(t, "QUORATE_SLOTS", 32)
	seed := uint64(harness.Number(t, "QUORATE_SEED", int(rand.Uint32())))
	t.Logf("seed %d (QUORATE_SEED)", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	r := startRig(t, store, slots)
	now := make([]*worker, workers)
	for i := range now {
		var err error
		if now[i], err = r.start(fmt.Sprintf("worker-%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d processes share %d slots after %v", workers, slots, r.settle(workers, 20*time.Second, "after the start"))
	kills, stops := 0, 0
	var suffering sync.WaitGroup
	for i := range now {
		faults := schedule(random, i, r.expiry(), time.Duration(seconds)*time.Second)
		for _, f := range faults {
			if f.kill {
				kills++
			} else {
				stops++
			}
		}
		suffering.Go(func() {
			w, err := r.suffer(now[i], faults)
			if err != nil {
				t.Errorf("%s: %v", now[i].id, err)
			}
			now[i] = w
		})
	}
	if suffering.Wait(); t.Failed() {
		return
	}
	// What the last fault left behind is there for an expiry; then it is quiet.
	took := r.settle(workers, r.expiry()+2*ttl, "after the last fault")
	moves := r.history.judge().moves
	r.leave(now)
	r.read()
	v := r.history.judge()
	for _, wrong := range v.wrong[:min(len(v.wrong), 20)] {
		t.Error(wrong)
	}
	if kills+stops == 0 || v.moves == 0 || v.fenced == 0 {
		t.Errorf("%d kills, %d stops, %d moves and %d late writes refused prove nothing", kills, stops, v.moves, v.fenced)
	}
	t.Logf("%s, TTL %v, %d workers, %d slots, %d s, seed %d: %d kills, %d stops; %v; %d of the moves when the workers left; settled %v after the last fault",
		store.Name, ttl, workers, slots, seconds, seed, kills, stops, v, v.moves-moves, took.Round(time.Millisecond))
}

// leave lets workers leave, one after the other.
func (r *rig) leave(workers []*worker) {
	r.t.Helper()
	for _, w := range workers {
		if err := w.End(ttl + 15*time.Second); err != nil {
			r.t.Errorf("%s ended with %v", w.id, err)
		}
	}
}
