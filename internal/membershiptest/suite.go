// Package membershiptest is the test suite of package membership that runs on
// every store: the scenarios hold for any driver that passes drivertest, whose
// environment they use.
package membershiptest

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/drivertest"
	"github.com/quorate/quorate/membership"
)

// Scenario is one test.
type Scenario struct {
	Name string
	Run  func(t *testing.T, env *drivertest.Env)
}

// Scenarios returns all tests.
func Scenarios() []Scenario {
	return []Scenario{
		{"join-update-leave", joinUpdateLeave},
		{"crash-and-restart", crashAndRestart},
		{"newer-incarnation-wins", newerWins},
		{"most-leave-at-once", mostLeave},
		{"most-vanish-at-once", mostVanish},
		{"cut-and-healed-member-stays", cutAndHealed},
		{"outage-of-three-ttls", outage},
		{"lease-ended-at-the-store", leaseEnded},
		{"entry-deleted-by-hand", entryDeleted},
		{"join-with-lost-reply", lostReply},
		{"wiped", wiped},
		{"restored", restored},
		{"hundred-joins-few-views", hundredJoins},
	}
}

// Run runs all tests in real time, each in an environment of its own.
func Run(t *testing.T, factory drivertest.Factory) {
	for _, s := range Scenarios() {
		t.Run(s.Name, func(t *testing.T) { s.Run(t, factory(t)) })
	}
}

// slack is what a busy machine may add to anything.
const slack = 2 * time.Second

// process is one process's Store and Group.
type process struct {
	*membership.Group
	store  *backend.Store
	driver driver.Driver
	leases *leases
	env    *drivertest.Env
}

// leases keeps the leases that a driver grants, for the tests to end.
type leases struct {
	driver.Driver
	mu  sync.Mutex
	all []driver.Lease
}

func (l *leases) Grant(ctx context.Context, ttl time.Duration) (driver.Lease, error) {
	lease, err := l.Driver.Grant(ctx, ttl)
	if err == nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.all = append(l.all, lease)
	}
	return lease, err
}

func (l *leases) last() driver.Lease {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all[len(l.all)-1]
}

func open(t testing.TB, env *drivertest.Env) *process {
	t.Helper()
	p := &process{driver: env.Open(t), env: env}
	p.leases = &leases{Driver: p.driver}
	var err error
	p.store, err = backend.New(p.leases, &backend.Options{
		Namespace: env.Prefix, TTL: env.TTL, CallTimeout: 3 * time.Second, CloseTimeout: 3 * time.Second,
		Logger: slog.New(slog.NewTextHandler(newOutput(t), nil)).With("process", fmt.Sprintf("%p", p)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.store.Close() })
	if p.Group, err = membership.New(p.store, "g", nil); err != nil {
		t.Fatal(err)
	}
	return p
}

// output is a test's, for as long as it runs: a Store whose Close was given up
// may go on for a while.
type output struct {
	mu sync.Mutex
	to io.Writer // nil when the test is over
}

func newOutput(t testing.TB) *output {
	o := &output{to: t.Output()}
	t.Cleanup(func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.to = nil
	})
	return o
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.to == nil {
		return len(p), nil
	}
	return o.to.Write(p)
}

func (p *process) join(t testing.TB, id string) *membership.Registration {
	t.Helper()
	r, err := p.Join(t.Context(), membership.Member{ID: id, Addr: "addr-" + id})
	if err != nil {
		t.Fatalf("Join of %s: %v", id, err)
	}
	return r
}

// crowd opens a process for each of some members.
func crowd(t testing.TB, env *drivertest.Env, n int) (all []*process, joined []*membership.Registration) {
	t.Helper()
	for i := range n {
		p := open(t, env)
		all, joined = append(all, p), append(joined, p.join(t, fmt.Sprintf("m%d", i)))
	}
	for _, p := range all {
		p.shows(t, slack, numbered(n))
	}
	return all, joined
}

func numbered(n int) string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf("m%d", i))
	}
	return strings.Join(all, " ")
}

func ids(v membership.View) string {
	var all []string
	for _, m := range v.Members {
		all = append(all, m.ID)
	}
	return strings.Join(all, " ")
}

// until waits until the view satisfies is, at most d and some slack.
func (p *process) until(t testing.TB, d time.Duration, what string, is func(membership.View) bool) membership.View {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d+slack)
	defer cancel()
	for v, err := range p.Watch(ctx) {
		if err != nil {
			now := p.View()
			t.Fatalf("not within %v: %s: %q, synced %t, stale %t, %d held: %v", d, what, ids(now), now.Synced, now.Stale, now.Held(), err)
		}
		if is(v) {
			return v
		}
	}
	return membership.View{}
}

// shows waits until the view shows just these members.
func (p *process) shows(t testing.TB, d time.Duration, want string) {
	t.Helper()
	p.until(t, d, "shows "+want, func(v membership.View) bool { return ids(v) == want && v.Synced })
}

// recorder collects what a Watch delivers.
type recorder struct {
	mu      sync.Mutex
	views   int
	changes []string
}

func (p *process) record(t testing.TB) *recorder {
	t.Helper()
	r := &recorder{}
	if err := p.WaitSynced(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	began, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		first := true
		for v, err := range p.Watch(ctx) {
			switch {
			case err != nil:
				return
			case first:
				first = false
				close(began)
			default:
				r.add(v)
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	<-began
	return r
}

func (r *recorder) add(v membership.View) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.views++
	c := v.Change
	for _, part := range []struct {
		what string
		ms   []membership.Member
	}{{"+", c.Added}, {"-", c.Removed}, {"r", c.Restarted}, {"u", c.Updated}} {
		for _, m := range part.ms {
			r.changes = append(r.changes, part.what+m.ID)
		}
	}
}

// want checks what was seen since the last call, what is on its way included.
func (r *recorder) want(t testing.TB, when, want string) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	var got string
	for range 100 {
		r.mu.Lock()
		got = strings.Join(r.changes, " ")
		r.mu.Unlock()
		if got == want {
			break
		}
		<-tick.C
	}
	if got != want {
		t.Errorf("%s the changes are %q, want %q", when, got, want)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changes = nil
}

// within waits for c, at most d and some slack.
func within(t testing.TB, d time.Duration, what string, c <-chan struct{}) {
	t.Helper()
	timer := time.NewTimer(d + slack)
	defer timer.Stop()
	select {
	case <-c:
	case <-timer.C:
		t.Fatalf("not within %v: %s", d, what)
	}
}

// eventually waits until check returns nil, at most d and some slack.
func eventually(t testing.TB, d time.Duration, what string, check func() error) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(d + slack); ; <-tick.C {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s: %v", d, what, err)
		}
	}
}

// entries waits until the store has one entry for each of some members and
// nothing else but marks.
func (p *process) entries(t testing.TB, d time.Duration, want string) {
	t.Helper()
	eventually(t, d, "the entries are "+want, func() error {
		read, err := p.store.Read(t.Context(), driver.Dir("membership/g/members"))
		if err != nil {
			return err
		}
		var all []string
		for _, e := range read[0] {
			name := strings.TrimPrefix(e.Key, "membership/g/members/")
			if !strings.HasSuffix(name, "~left") {
				all = append(all, name[:strings.LastIndexByte(name, '~')])
			}
		}
		if got := strings.Join(all, " "); got != want {
			return fmt.Errorf("they are %q", got)
		}
		return nil
	})
}

// rest lets time pass, in which nothing should happen.
func rest(d time.Duration) { <-time.After(d) }
