package membership_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/faults"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/membership"
)

const ttl = 10 * time.Second

// process is one process's Store and Group.
type process struct {
	t      *testing.T
	server *memory.Server
	driver *memory.Driver
	faults *faults.Driver
	store  *backend.Store
	group  *membership.Group
	lease  string // if crowd made it
}

func start(t *testing.T, server *memory.Server, opts *membership.Options) *process {
	t.Helper()
	p := &process{t: t, server: server, driver: memory.NewDriver(server)}
	p.faults = faults.Wrap(p.driver)
	var err error
	if p.store, err = backend.New(p.faults, &backend.Options{TTL: ttl}); err != nil {
		t.Fatal(err)
	}
	if p.group, err = membership.New(p.store, "g", opts); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.stop)
	return p
}

func (p *process) stop() {
	p.driver.Heal()
	_ = p.store.Close()
}

// crash makes a process fall silent for good.
func (p *process) crash() { p.driver.Silence() }

func (p *process) join(id string) *membership.Registration {
	p.t.Helper()
	r, err := p.group.Join(p.t.Context(), membership.Member{ID: id, Addr: id + ":1", Meta: map[string]string{"v": "1"}})
	if err != nil {
		p.t.Fatalf("Join of %s: %v", id, err)
	}
	return r
}

func ids(v membership.View) string {
	var all []string
	for _, m := range v.Members {
		all = append(all, m.ID)
	}
	return strings.Join(all, " ")
}

// wantIDs fails unless the view shows these members.
func (p *process) wantIDs(when, want string) {
	p.t.Helper()
	synctest.Wait()
	if got := ids(p.group.View()); got != want {
		p.t.Errorf("%s the members are %q, want %q", when, got, want)
	}
}

func (p *process) synced() {
	p.t.Helper()
	if err := p.group.WaitSynced(p.t.Context()); err != nil {
		p.t.Fatal(err)
	}
}

// keys returns the keys of the group, without their nonces: entries as their
// ID, marks with "~left".
func keys(server *memory.Server) (all []string) {
	for _, e := range server.Entries() {
		name, ok := strings.CutPrefix(e.Key, "quorate/membership/g/members/")
		if !ok {
			continue
		}
		name, left := strings.CutSuffix(name, "~left")
		name = name[:strings.LastIndexByte(name, '~')]
		if left {
			name += "~left"
		}
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

func wantKeys(t *testing.T, when string, server *memory.Server, want ...string) {
	t.Helper()
	if got := keys(server); !slices.Equal(got, want) {
		t.Errorf("%s the keys are %q, want %q", when, got, want)
	}
}

func bubble(t *testing.T, f func(t *testing.T, server *memory.Server)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, memory.NewServer()) })
}

// views collects what a Watch delivers.
type views struct {
	list []membership.View
	err  error
}

func (p *process) watch() *views {
	vs := &views{}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for v, err := range p.group.Watch(ctx) {
			if err != nil {
				vs.err = err
				return
			}
			vs.list = append(vs.list, v)
		}
	}()
	p.t.Cleanup(func() { cancel(); <-done })
	return vs
}

// take returns what came since the last take.
func (vs *views) take() []membership.View {
	synctest.Wait()
	list := vs.list
	vs.list = nil
	return list
}

// changes returns all changes since the last take, as text.
func (vs *views) changes() string {
	var all []string
	for _, v := range vs.take() {
		for _, part := range []struct {
			what    string
			members []membership.Member
		}{{"+", v.Change.Added}, {"-", v.Change.Removed}, {"r", v.Change.Restarted}, {"u", v.Change.Updated}} {
			for _, m := range part.members {
				all = append(all, part.what+m.ID)
			}
		}
	}
	return strings.Join(all, " ")
}

func (vs *views) want(t *testing.T, when, want string) {
	t.Helper()
	if got := vs.changes(); got != want {
		t.Errorf("%s the changes are %q, want %q", when, got, want)
	}
}

func TestJoinUpdateLeave(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		a, b := start(t, server, nil), start(t, server, nil)
		b.driver.Silence()
		if v := b.group.View(); v.Synced || !v.Stale || len(v.Members) != 0 {
			t.Errorf("before the first read the view is %+v", v)
		}
		b.driver.Heal()
		b.synced()
		seen := b.watch()
		r := a.join("a")
		rb := b.join("b")
		time.Sleep(time.Second)
		seen.want(t, "after the joins", "+a +b")
		m, ok := b.group.View().Lookup("a")
		if !ok || m.Addr != "a:1" || m.Meta["v"] != "1" || m.Incarnation != r.Incarnation() || m.TTL != ttl || m.Held {
			t.Errorf("Lookup = %+v, %t", m, ok)
		}
		if s, err := r.Entry(t.Context()); err != nil || s.Registration != m.Registration || !s.Session.Valid() {
			t.Errorf("Entry = %+v, %v, the view shows %q", s, err, m.Registration)
		}

		if err := r.Update(t.Context(), map[string]string{"v": "2"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		seen.want(t, "after the update", "ua")
		if m, _ := b.group.View().Lookup("a"); m.Meta["v"] != "2" || m.Addr != "a:1" || m.Incarnation != r.Incarnation() {
			t.Errorf("after the update: %+v", m)
		}

		left := time.Now()
		if err := r.Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !errors.Is(context.Cause(r.Context()), membership.ErrLeft) {
			t.Errorf("the context's cause is %v", context.Cause(r.Context()))
		}
		if err := r.Leave(t.Context()); err != nil {
			t.Errorf("leaving again: %v", err)
		}
		if err := r.Update(t.Context(), nil); !errors.Is(err, membership.ErrLeft) {
			t.Errorf("Update after Leave = %v", err)
		}
		time.Sleep(300 * time.Millisecond)
		seen.want(t, "after the Leave", "-a")
		a.wantIDs("for who left", "b")
		wantKeys(t, "after the Leave", server, "a~left", "b")
		time.Sleep(time.Until(left.Add(2*time.Minute + 2*time.Second)))
		wantKeys(t, "two minutes after the Leave", server, "b")
		if err := rb.Leave(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestCrashAndRestart(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		observer := start(t, server, nil)
		seen := observer.watch()
		first := start(t, server, nil)
		for _, id := range []string{"a", "b", "c"} {
			first.join(id)
		}
		crashing := start(t, server, nil)
		r := crashing.join("d")
		time.Sleep(time.Second)
		seen.want(t, "at the start", "+a +b +c +d")

		// Restarted before the store has noticed.
		crashing.crash()
		time.Sleep(3 * time.Second)
		again := start(t, server, nil)
		r2 := again.join("d")
		time.Sleep(3 * ttl)
		seen.want(t, "after the restart", "rd")
		if m, _ := observer.group.View().Lookup("d"); m.Incarnation != r2.Incarnation() {
			t.Errorf("%s is shown, %s is the new one", m.Incarnation, r2.Incarnation())
		}
		crashing.driver.Heal() // the old one hears of it
		time.Sleep(4 * ttl)
		synctest.Wait()
		if !errors.Is(context.Cause(r.Context()), membership.ErrSuperseded) {
			t.Errorf("the older one ended with %v", context.Cause(r.Context()))
		}
		if r2.Context().Err() != nil {
			t.Errorf("the newer one ended: %v", context.Cause(r2.Context()))
		}
		seen.want(t, "when the old one comes back", "")
		wantKeys(t, "afterwards", server, "a", "b", "c", "d")

		// And crashed for good.
		again.crash()
		crashed := time.Now()
		for ids(observer.group.View()) == "a b c d" {
			time.Sleep(100 * time.Millisecond)
		}
		if took := time.Since(crashed); took > ttl+ttl/10+gather {
			t.Errorf("a crash was seen after %v", took)
		}
		seen.want(t, "after the crash", "-d")
	})
}

const gather = 200 * time.Millisecond

func TestSupersededWhileBothLive(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		a, b := start(t, server, nil), start(t, server, nil)
		old := a.join("x")
		next := b.join("x")
		time.Sleep(time.Second)
		synctest.Wait()
		if !errors.Is(context.Cause(old.Context()), membership.ErrSuperseded) || next.Context().Err() != nil {
			t.Errorf("old: %v, new: %v", context.Cause(old.Context()), context.Cause(next.Context()))
		}
		wantKeys(t, "afterwards", server, "x")
		// The newer one stays who it is when it registers again.
		_ = b.faults.ExpireEarly(t.Context())
		time.Sleep(2 * ttl)
		synctest.Wait()
		if next.Context().Err() != nil {
			t.Errorf("the newer one ended: %v", context.Cause(next.Context()))
		}
		// In one process too.
		third := b.join("x")
		time.Sleep(time.Second)
		synctest.Wait()
		if !errors.Is(context.Cause(next.Context()), membership.ErrSuperseded) || third.Context().Err() != nil {
			t.Errorf("second: %v, third: %v", context.Cause(next.Context()), context.Cause(third.Context()))
		}
		if err := next.Leave(t.Context()); err != nil {
			t.Errorf("Leave after it was superseded: %v", err)
		}
		a.wantIDs("afterwards", "x")
	})
}

// A process that was cut off while another took its ID is the older one, though
// its new entry is the younger.
func TestTheOlderComesBackLater(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		a, b, observer := start(t, server, nil), start(t, server, nil), start(t, server, nil)
		observer.join("o")
		old := a.join("x")
		time.Sleep(time.Second)
		a.driver.Cut()
		time.Sleep(3 * ttl)
		next := b.join("x")
		time.Sleep(time.Second)
		seen := observer.watch()
		seen.take()
		a.driver.Heal()
		time.Sleep(4 * ttl)
		synctest.Wait()
		if !errors.Is(context.Cause(old.Context()), membership.ErrSuperseded) || next.Context().Err() != nil {
			t.Errorf("old: %v, new: %v", context.Cause(old.Context()), context.Cause(next.Context()))
		}
		seen.want(t, "meanwhile", "")
		// Nor does it come back in the views when the newer one leaves.
		if err := next.Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		observer.wantIDs("after the Leave", "o")
	})
}

// The entry of an incarnation that crashed does not come back in the views when
// its successor leaves.
func TestLeaveHidesTheCrashedBefore(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		a, b, observer := start(t, server, nil), start(t, server, nil), start(t, server, nil)
		observer.join("o")
		a.join("x")
		time.Sleep(time.Second)
		a.crash()
		next := b.join("x")
		time.Sleep(time.Second)
		if err := next.Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		seen := observer.watch()
		time.Sleep(time.Second)
		observer.wantIDs("after the Leave", "o")
		time.Sleep(2 * ttl)
		seen.want(t, "meanwhile", "+o")
	})
}

func TestEntryDeletedByHand(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		a, b := start(t, server, nil), start(t, server, nil)
		r := a.join("a")
		b.join("b")
		b.join("c")
		time.Sleep(time.Second)
		seen := b.watch()
		seen.take()
		s, _ := r.Entry(t.Context())
		if !server.Delete("quorate/membership/g/members/" + s.Registration) {
			t.Fatal("no such entry")
		}
		<-s.Context().Done()
		next, err := r.Entry(t.Context())
		if err != nil || next.Registration == s.Registration || next.Session != s.Session {
			t.Errorf("Entry = %+v, %v", next, err)
		}
		time.Sleep(2 * time.Second)
		wantKeys(t, "afterwards", server, "a", "b", "c")
		seen.want(t, "meanwhile", "")
		b.wantIDs("afterwards", "a b c")
		if m, _ := b.group.View().Lookup("a"); m.Registration != next.Registration || m.Incarnation != r.Incarnation() || m.Held {
			t.Errorf("it is shown as %+v", m)
		}
	})
}

// A session that is lost while the store is there costs nobody the member.
func TestSessionLost(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		a, b := start(t, server, nil), start(t, server, nil)
		r := a.join("a")
		b.join("b")
		b.join("c")
		time.Sleep(time.Second)
		seen := b.watch()
		seen.take()
		s, _ := r.Entry(t.Context())
		if !server.Expire(s.Session.ID()) {
			t.Fatal("no such lease")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		seen.want(t, "meanwhile", "")
		next, err := r.Entry(t.Context())
		if err != nil || next.Session == s.Session {
			t.Errorf("Entry = %+v, %v", next, err)
		}
		if !errors.Is(context.Cause(s.Context()), backend.ErrSessionLost) || r.Context().Err() != nil {
			t.Errorf("the entry ended with %v, the membership with %v", context.Cause(s.Context()), context.Cause(r.Context()))
		}
	})
}

func TestBadArguments(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		a := start(t, server, nil)
		if _, err := membership.New(nil, "g", nil); !errors.Is(err, backend.ErrInvalid) {
			t.Errorf("New without a store = %v", err)
		}
		if _, err := membership.New(a.store, "", nil); !errors.Is(err, backend.ErrInvalid) {
			t.Errorf("New without a name = %v", err)
		}
		long, err := membership.New(a.store, strings.Repeat("ü", 50), nil) // 300 bytes escaped
		if err != nil {
			t.Fatal(err)
		}
		for what, m := range map[string]membership.Member{
			"no ID":              {},
			"an ID that is long": {ID: strings.Repeat("x", 101)},
		} {
			if _, err := a.group.Join(t.Context(), m); !errors.Is(err, backend.ErrInvalid) {
				t.Errorf("Join with %s = %v", what, err)
			}
		}
		if _, err := long.Join(t.Context(), membership.Member{ID: strings.Repeat("ü", 50)}); !errors.Is(err, backend.ErrInvalid) {
			t.Errorf("Join with ID and group too long together = %v", err)
		}
		big := map[string]string{"k": strings.Repeat("x", 16<<10)}
		if _, err := a.group.Join(t.Context(), membership.Member{ID: "a", Meta: big}); !errors.Is(err, backend.ErrTooLarge) {
			t.Errorf("Join with a large Meta = %v", err)
		}
		if err := a.join("a").Update(t.Context(), big); !errors.Is(err, backend.ErrTooLarge) {
			t.Errorf("Update with a large Meta = %v", err)
		}
	})
}

func TestCloseOfTheStoreEndsAll(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		a := start(t, server, nil)
		r := a.join("a")
		s, _ := r.Entry(t.Context())
		seen := a.watch()
		synctest.Wait()
		if err := a.store.Close(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for what, err := range map[string]error{
			"the membership": context.Cause(r.Context()), "the entry": context.Cause(s.Context()), "the watch": seen.err,
			"Leave": r.Leave(t.Context()),
		} {
			if !errors.Is(err, backend.ErrClosed) {
				t.Errorf("%s ended with %v", what, err)
			}
		}
		if _, err := a.group.Join(t.Context(), membership.Member{ID: "b"}); !errors.Is(err, backend.ErrClosed) {
			t.Errorf("Join afterwards = %v", err)
		}
		wantKeys(t, "afterwards", server)
	})
}

func TestCloseOfTheGroupLeaves(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server) {
		a := start(t, server, nil)
		r := a.join("a")
		a.synced()
		if err := a.group.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if err := a.group.Close(); err != nil {
			t.Errorf("closing again: %v", err)
		}
		if !errors.Is(context.Cause(r.Context()), membership.ErrLeft) {
			t.Errorf("the membership ended with %v", context.Cause(r.Context()))
		}
		wantKeys(t, "afterwards", server, "a~left")
		if err := a.group.WaitSynced(t.Context()); err != nil {
			t.Errorf("WaitSynced, which was, = %v", err)
		}
		fresh, err := membership.New(a.store, "h", nil)
		if err != nil || fresh.Close() != nil {
			t.Errorf("Close of an unused Group: %v", err)
		}
		if err := fresh.WaitSynced(t.Context()); !errors.Is(err, backend.ErrClosed) {
			t.Errorf("WaitSynced after Close = %v", err)
		}
	})
}
