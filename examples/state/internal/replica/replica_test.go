package replica

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/election"
	"github.com/quorate/quorate/examples/internal/web"
	"github.com/quorate/quorate/membership"
)

// process is one with a node of two copies, that answers the others.
type process struct {
	store *backend.Store
	group *membership.Group
	node  *Node
	web   *httptest.Server
	vote  *election.Election
}

func start(t *testing.T, server *memory.Server, id string) *process {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	p := &process{}
	var err error
	p.store, err = memory.Open(server, &backend.Options{TTL: 2 * time.Second})
	must(err)
	t.Cleanup(func() { p.store.Close() })
	p.group, err = membership.New(p.store, "group", nil)
	must(err)
	p.node, err = NewNode(p.store, p.group, 2)
	must(err)
	mux := http.NewServeMux()
	p.node.Handle(mux)
	p.web = httptest.NewServer(mux)
	t.Cleanup(p.web.Close)
	self, err := p.group.Join(t.Context(), membership.Member{ID: id, Addr: strings.TrimPrefix(p.web.URL, "http://")})
	must(err)
	p.node.Join(self)
	p.vote, err = election.New(p.store, "vote", nil)
	must(err)
	return p
}

// sees waits until the process sees so many members.
func (p *process) sees(t *testing.T, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for view, err := range p.group.Watch(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		if len(view.Members) == n {
			return
		}
	}
}

// own makes the process the owner, with copies at others where there are any.
func (p *process) own(t *testing.T) (*Shard, *election.Leadership) {
	t.Helper()
	lead, err := p.vote.Campaign(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s, err := p.node.Own(t.Context(), "all", lead.Term(), lead.Guard())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.fit(t.Context()); err != nil && !errors.Is(err, errTooFew) {
		t.Fatal(err)
	}
	return s, lead
}

// TestOneCopyIsTooFew: a write that only its owner would have is refused, and
// the list that says who has everything is not shortened for it.
func TestOneCopyIsTooFew(t *testing.T) {
	server := memory.NewServer()
	a, b := start(t, server, "a"), start(t, server, "b")
	a.sees(t, 2)
	s, lead := a.own(t)
	if err := s.Put(t.Context(), "x", "1"); err != nil {
		t.Fatal(err)
	}
	b.web.Close()
	for range 2 {
		if err := s.Put(t.Context(), "x", "2"); !errors.Is(err, errTooFew) {
			t.Errorf("Put with the other gone = %v, want %v", err, errTooFew)
		}
	}
	if value, _, err := s.Get("x"); value != "1" || err != nil {
		t.Errorf("x = %q, %v, want what was acknowledged", value, err)
	}
	if err := lead.Resign(context.Background()); err != nil {
		t.Fatal(err)
	}
	listed, _, err := s.list.Claim(t.Context())
	if err != nil || len(listed) != 2 {
		t.Errorf("the list is %q, %v, want two names", listed, err)
	}
}

// TestTheLastOwnerIsFenced: once another owner has begun, no write of the last
// one is acknowledged, be it to those who follow or by a shorter list.
func TestTheLastOwnerIsFenced(t *testing.T) {
	server := memory.NewServer()
	a, b, c := start(t, server, "a"), start(t, server, "b"), start(t, server, "c")
	for _, p := range []*process{a, b, c} {
		p.sees(t, 3)
	}
	s, lead := a.own(t)
	if err := s.Put(t.Context(), "x", "1"); err != nil {
		t.Fatal(err)
	}
	// The office is given away under it, as a store may; it does not stop.
	session, err := a.store.Session(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	server.Expire(session.ID())
	next, _ := b.own(t)
	if value, found, err := next.Get("x"); value != "1" || !found || err != nil {
		t.Errorf("the next owner finds %q, %v, %v", value, found, err)
	}
	if err := next.Put(t.Context(), "x", "2"); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), "x", "3"); err == nil {
		t.Error("a write of the last owner was acknowledged")
	}
	if value, _, err := next.Get("x"); value != "2" || err != nil {
		t.Errorf("x = %q, %v, want what the present owner wrote", value, err)
	}
	_ = lead.Resign(context.Background())
}

// TestNobodyBeginsWithLess: who has not all that was acknowledged, and finds
// nobody who has, waits.
func TestNobodyBeginsWithLess(t *testing.T) {
	server := memory.NewServer()
	a, b, c := start(t, server, "a"), start(t, server, "b"), start(t, server, "c")
	for _, p := range []*process{a, b, c} {
		p.sees(t, 3)
	}
	s, lead := a.own(t)
	if err := s.Put(t.Context(), "x", "1"); err != nil {
		t.Fatal(err)
	}
	outsider := c
	for name := range s.followers {
		if name == c.node.self {
			outsider = b
		}
	}
	for _, p := range []*process{a, b, c} {
		if p != outsider {
			p.web.Close() // both that have it are gone
		}
	}
	if err := lead.Resign(context.Background()); err != nil {
		t.Fatal(err)
	}
	next, err := outsider.vote.Campaign(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errors.New("patience"))
	defer cancel()
	if _, err := outsider.node.Own(ctx, "all", next.Term(), next.Guard()); !errors.Is(err, context.Cause(ctx)) {
		t.Errorf("Own = %v, want the end of patience", err)
	}
}

// TestOnlyTheNextWriteIsApplied: neither one twice, nor one that left another
// out, nor one under another token.
func TestOnlyTheNextWriteIsApplied(t *testing.T) {
	n := &Node{shards: map[string]*state{}}
	if err := n.put("s", state{Token: 5, Seq: 7, Values: map[string]string{}}); err != nil {
		t.Fatal(err)
	}
	for _, w := range []write{{5, 7, "k", "v"}, {5, 9, "k", "v"}, {4, 8, "k", "v"}, {6, 8, "k", "v"}} {
		if status, ok := errors.AsType[*web.StatusError](n.apply("s", w)); !ok || status.Code != http.StatusConflict {
			t.Errorf("%+v: %v, want a conflict", w, status)
		}
	}
	if err := n.apply("s", write{5, 8, "k", "v"}); err != nil {
		t.Error(err)
	}
	if err := n.put("s", state{Token: 4}); err == nil {
		t.Error("a copy under an older token is taken")
	}
	if whole, err := n.take("s", 6); err != nil || whole.Seq != 8 || whole.Values["k"] != "v" {
		t.Errorf("take = %+v, %v", whole, err)
	}
	if err := n.apply("s", write{5, 9, "k", "v"}); err == nil {
		t.Error("a write of the last owner is applied after the next has been here")
	}
}
