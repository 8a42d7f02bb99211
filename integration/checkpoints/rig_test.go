// Package checkpoints kills workers at random moments, on real stores, and
// looks whether each item they were to do was done, once.
package checkpoints

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/integration/cluster"
)

// system is a store under test.
type system struct {
	ttl   time.Duration
	start func() (*cluster.Cluster, error)
	// open makes the Store of a worker process; it leaves what it opened to the
	// end of the process.
	open func(tk task, opts *backend.Options) (*backend.Store, error)
	// expiry is the longest that the store keeps a session that is not renewed.
	expiry time.Duration
}

var stores = map[string]system{}

func TestMain(m *testing.M) {
	if arg := os.Getenv(workerEnv); arg != "" {
		os.Exit(workerMain(arg))
	}
	os.Exit(m.Run())
}

// number reads a number from the environment.
func number(name string, byDefault int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return byDefault
}

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
	id   string
	cmd  *exec.Cmd
	in   io.Closer
	log  string
	done chan error
}

func startRig(t *testing.T, name string, items int) *rig {
	t.Helper()
	s := stores[name]
	c, err := s.start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
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
		Store: name, Addrs: c.Addrs(), TTL: s.ttl, Items: items, Postgres: pg.URL(), PGAddr: pg.Addr(),
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
func (r *rig) start() *worker {
	r.t.Helper()
	r.started++
	tk := r.task
	tk.ID = fmt.Sprintf("worker-%d", r.started)
	arg, err := json.Marshal(tk)
	if err != nil {
		r.t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		r.t.Fatal(err)
	}
	w := &worker{id: tk.ID, cmd: exec.Command(exe), log: filepath.Join(r.dir, tk.ID), done: make(chan error, 1)}
	out, err := os.Create(w.log)
	if err != nil {
		r.t.Fatal(err)
	}
	defer out.Close()
	w.cmd.Env = append(os.Environ(), workerEnv+"="+string(arg))
	w.cmd.Stderr = out
	if w.in, err = w.cmd.StdinPipe(); err != nil {
		r.t.Fatal(err)
	}
	if err := w.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	go func() { w.done <- w.cmd.Wait() }()
	r.t.Cleanup(func() {
		if w.done == nil {
			return
		}
		_ = w.cmd.Process.Kill()
		<-w.done //nolint:errcheck // It was killed.
		if r.t.Failed() {
			content, _ := os.ReadFile(w.log)
			r.t.Logf("log of %s:\n%s", w.id, bytes.TrimSpace(content[max(0, len(content)-3000):]))
		}
	})
	r.workers = append(r.workers, w)
	return w
}

func (r *rig) signal(w *worker, sig syscall.Signal) {
	r.t.Helper()
	if err := w.cmd.Process.Signal(sig); err != nil {
		r.t.Fatal(err)
	}
}

// kill kills the worker and waits until it is gone.
func (r *rig) kill(w *worker) {
	r.t.Helper()
	r.signal(w, syscall.SIGKILL)
	<-w.done //nolint:errcheck // It was killed.
	w.done = nil
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
		content, err := os.ReadFile(w.log)
		if err != nil {
			r.t.Fatal(err)
		}
		if w.done != nil && strings.Contains(string(content), fmt.Sprintf("election=worker term=%d ", term)) {
			return w
		}
	}
	r.t.Fatalf("nobody that runs leads term %d", term)
	return nil
}

// killed does the items with two workers, of which the leader is killed when a
// random item has been done, several times, and paused once until the other has
// gone on.
func killed(t *testing.T, name string) {
	kills, items := number("QUORATE_KILLS", 5), number("QUORATE_ITEMS", 500)
	r := startRig(t, name, items)
	patience := 3*stores[name].expiry + 30*time.Second
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
		r.signal(w, syscall.SIGSTOP)
		r.until(patience, 1, "SELECT count(*) FROM notes WHERE what = 'saved' AND term > $1", term)
		r.signal(w, syscall.SIGCONT)
		r.until(patience, 1, "SELECT (SELECT count(*) FROM attempts WHERE fenced AND term = $1) + (SELECT count(*) FROM notes WHERE what = 'fenced' AND term = $1)", term)
	}
	r.until(patience, items, done)
	for _, w := range r.workers {
		if w.done == nil {
			continue
		}
		select {
		case err := <-w.done:
			w.done = nil
			if err != nil {
				t.Errorf("%s ended with %v", w.id, err)
			}
		case <-time.After(patience):
			t.Fatalf("%s does not end though all is done", w.id)
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
