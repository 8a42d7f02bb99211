// Package checkpoints kills workers at random moments, on real stores, and
// looks whether each item they were to do was done, once.
package checkpoints

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/quorate/quorate/integration/cluster"
	"github.com/quorate/quorate/integration/harness"
)

// ttl is that of the workers' sessions.
const ttl = 3 * time.Second

func TestMain(m *testing.M) { harness.Main(m, runWorker) }

// TestKilledWorkers kills workers on each store.
func TestKilledWorkers(t *testing.T) { harness.EachStore(t, killed) }

// rig is a store, a database and two workers, one of which leads.
type rig struct {
	t       *testing.T
	task    task
	db      *pgx.Conn
	workers []*worker
	dir     string
	started int
}

type worker struct {
	*harness.Process
	id    string
	ended bool
}

func startRig(t *testing.T, store harness.Store, items int) *rig {
	t.Helper()
	c := store.Cluster(t)
	pg, err := cluster.StartPostgres()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pg.Close(); err != nil {
			t.Error(err)
		}
	})
	r := &rig{t: t, dir: t.TempDir(), task: task{
		Store: store.Name, Addrs: c.Addrs(), Items: items, Postgres: pg.URL(), PGAddr: pg.Addr(),
	}}
	if r.db, err = pgx.Connect(t.Context(), pg.URL()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.db.Close(context.WithoutCancel(t.Context())) })
	if _, err := r.db.Exec(t.Context(), schema); err != nil {
		t.Fatal(err)
	}
	return r
}

// start starts a worker.
func (r *rig) start() {
	r.t.Helper()
	r.started++
	tk := r.task
	tk.ID = fmt.Sprintf("worker-%d", r.started)
	p, err := harness.StartProcess(r.dir, tk.ID, tk)
	if err != nil {
		r.t.Fatal(err)
	}
	w := &worker{Process: p, id: tk.ID}
	r.t.Cleanup(func() {
		_ = w.Kill()
		if r.t.Failed() {
			r.t.Logf("log of %s:\n%s", w.id, w.Tail(3000))
		}
	})
	r.workers = append(r.workers, w)
}

// kill kills the worker and waits until it is gone.
func (r *rig) kill(w *worker) {
	r.t.Helper()
	if err := w.Kill(); err != nil {
		r.t.Fatalf("%s: %v", w.id, err)
	}
	w.ended = true
}

// query returns one number from the database.
func (r *rig) query(sql string, args ...any) (n int) {
	r.t.Helper()
	if err := r.db.QueryRow(r.t.Context(), sql, args...).Scan(&n); err != nil {
		r.t.Fatalf("%s: %v", sql, err)
	}
	return n
}

// until waits until a query returns at least n.
func (r *rig) until(patience time.Duration, n int, sql string, args ...any) {
	r.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); r.query(sql, args...) < n; <-tick.C {
		if time.Now().After(deadline) {
			r.t.Fatalf("not within %v: %s is %d", patience, sql, n)
		}
	}
}

// leader returns the worker that leads, as its log says.
func (r *rig) leader() *worker {
	r.t.Helper()
	term := r.query("SELECT max(term) FROM notes WHERE what = 'claimed'")
	for _, w := range r.workers {
		content, err := os.ReadFile(w.Log)
		if err != nil {
			r.t.Fatal(err)
		}
		if !w.ended && strings.Contains(string(content), fmt.Sprintf("election=worker term=%d ", term)) {
			return w
		}
	}
	r.t.Fatalf("nobody that runs leads term %d", term)
	return nil
}

// killed does the items with two workers, of which the leader is killed when a
// random item has been done, several times, and paused once until the other has
// gone on.
func killed(t *testing.T, store harness.Store) {
	kills, items := harness.Number(t, "QUORATE_KILLS", 5), harness.Number(t, "QUORATE_ITEMS", 500)
	r := startRig(t, store, items)
	patience := 3*store.Expiry(ttl) + 30*time.Second
	const done = "SELECT count(*) FROM effects"
	began := time.Now()
	for range 2 {
		r.start()
	}
	for i := range kills + 1 {
		// Somewhere in the share of this round, at a moment of its own.
		share := items / (kills + 2)
		r.until(patience, i*share+1+rand.IntN(share), done)
		r.until(patience, 1, "SELECT count(*) FROM notes WHERE what = 'claimed' AND term = (SELECT max(term) FROM attempts)")
		moment := time.NewTimer(rand.N(5 * time.Millisecond))
		<-moment.C
		w := r.leader()
		if i != kills/2 {
			r.kill(w)
			r.start()
			continue
		}
		// This one is paused in the midst of it, and goes on when another does.
		term := r.query("SELECT max(term) FROM notes WHERE what = 'claimed'")
		if err := w.Stop(); err != nil {
			t.Fatal(err)
		}
		r.until(patience, 1, "SELECT count(*) FROM notes WHERE what = 'saved' AND term > $1", term)
		if err := w.Resume(); err != nil {
			t.Fatal(err)
		}
		r.until(patience, 1, "SELECT (SELECT count(*) FROM attempts WHERE fenced AND term = $1) + (SELECT count(*) FROM notes WHERE what = 'fenced' AND term = $1)", term)
	}
	r.until(patience, items, done)
	for _, w := range r.workers {
		if w.ended {
			continue
		}
		if err := w.Await(patience); err != nil {
			t.Errorf("%s, once all is done: %v", w.id, err)
		}
	}
	r.judge(kills, began)
}

// judge holds what happened against what was promised.
func (r *rig) judge(kills int, began time.Time) {
	r.t.Helper()
	none := func(what, sql string) {
		r.t.Helper()
		if n := r.query(sql); n != 0 {
			r.t.Errorf("%s: %d times", what, n)
		}
	}
	items := r.task.Items
	if n := r.query("SELECT count(DISTINCT item) FROM effects WHERE item >= 0 AND item < $1", items); n != items {
		r.t.Errorf("%d of %d effects are there", n, items)
	}
	none("an item that nobody was to do", fmt.Sprintf("SELECT count(*) FROM effects WHERE item < 0 OR item >= %d", items))
	none("an item was done before the one ahead of it", "SELECT count(*) FROM effects a JOIN effects b ON a.item < b.item AND a.at > b.at")
	none("an effect of an old term was accepted after one of a later term",
		"SELECT count(*) FROM attempts a WHERE NOT fenced AND term < (SELECT max(term) FROM attempts b WHERE b.id < a.id)")
	none("a save begun after a later term had claimed was accepted",
		`SELECT count(*) FROM notes s WHERE what = 'saving'
		 AND EXISTS (SELECT FROM notes c WHERE c.what = 'claimed' AND c.term > s.term AND c.id < s.id)
		 AND EXISTS (SELECT FROM notes d WHERE d.what = 'saved' AND d.term = s.term AND d.value = s.value AND d.id > s.id)`)
	none("a claim returned less than was acknowledged before",
		"SELECT count(*) FROM notes c WHERE what = 'claimed' AND value < (SELECT max(value) FROM notes s WHERE s.what = 'saved' AND s.id < c.id)")
	none("a claim returned more than was ever to be saved",
		"SELECT count(*) FROM notes c WHERE what = 'claimed' AND value > (SELECT coalesce(max(value), 0) FROM notes s WHERE s.what = 'saving' AND s.id < c.id)")
	claims := r.query("SELECT count(*) FROM notes WHERE what = 'claimed'")
	repeated := r.query("SELECT count(*) - count(DISTINCT item) FROM attempts WHERE NOT fenced")
	if claims < kills+1 {
		r.t.Errorf("%d claims after %d kills", claims, kills)
	}
	// Between a claim and the end of it one item at most is begun and not saved,
	// or done by code that does not heed its context.
	if repeated > 2*claims {
		r.t.Errorf("%d items were repeated in %d claims: it does not resume where it was", repeated, claims)
	}
	fenced := r.query("SELECT (SELECT count(*) FROM attempts WHERE fenced)")
	saves := r.query("SELECT count(*) FROM notes WHERE what = 'fenced'")
	if fenced+saves == 0 {
		r.t.Error("no stale effect or save was ever tried")
	}
	r.t.Logf("%s: %d items, %d kills and a pause, %d claims, %d items repeated, %d stale effects and %d stale saves refused, in %v",
		r.task.Store, items, kills, claims, repeated, fenced, saves, time.Since(began).Round(100*time.Millisecond))
}
