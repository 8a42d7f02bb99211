package election_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/election"
)

var errBody = errors.New("the body's own")

func TestRunReturnsTheBodysErrorAfterResigning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := memory.NewServer()
		e := candidate(t, open(t, server), nil)
		for _, want := range []error{nil, errBody} {
			err := e.Run(t.Context(), func(context.Context, *election.Leadership) error { return want })
			if !errors.Is(err, want) {
				t.Errorf("Run = %v, want %v", err, want)
			}
			if _, err := e.Leader(t.Context()); !errors.Is(err, election.ErrNoLeader) {
				t.Errorf("after Run: Leader = %v, want ErrNoLeader", err)
			}
		}
	})
}

func TestRunCampaignsAgainAfterALossAndJoinsTheBodyFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := memory.NewServer()
		d := memory.NewDriver(server)
		var ended []backend.Ownership
		store, err := backend.New(d, &backend.Options{TTL: ttl, Trace: &backend.Trace{
			OwnershipEnded: func(o backend.Ownership) { ended = append(ended, o) },
		}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = store.Close() })
		e := candidate(t, store, nil)
		running := false
		var terms []uint64
		err = e.Run(t.Context(), func(ctx context.Context, lead *election.Leadership) error {
			if running {
				t.Error("a body began before the last returned")
			}
			running = true
			defer func() { running = false }()
			terms = append(terms, lead.Term())
			if len(terms) == 3 {
				return nil
			}
			server.Delete("quorate/election/test/tenure/leader")
			<-ctx.Done()
			if !errors.Is(context.Cause(ctx), election.ErrLost) {
				t.Errorf("the body's context ended with %v, want ErrLost", context.Cause(ctx))
			}
			time.Sleep(time.Minute) // it takes its time
			return errBody
		})
		if err != nil || len(terms) != 3 || terms[0] >= terms[1] || terms[1] >= terms[2] {
			t.Errorf("Run = %v, terms %v", err, terms)
		}
		if len(ended) != 3 || ended[0].Body != nil || !errors.Is(ended[0].Cause, election.ErrLost) ||
			ended[2].Body != nil || !errors.Is(ended[2].Cause, election.ErrResigned) || ended[2].Token != terms[2] ||
			ended[2].Kind != backend.KindElection || ended[2].Name != "test" {
			t.Errorf("traced %+v", ended)
		}
	})
}

func TestRunEndsWithItsContext(t *testing.T) {
	type key struct{}
	synctest.Test(t, func(t *testing.T) {
		server := memory.NewServer()
		e := candidate(t, open(t, server), nil)
		ctx, cancel := context.WithCancelCause(context.WithValue(t.Context(), key{}, "value"))
		stop := errors.New("stop")
		err := e.Run(ctx, func(ctx context.Context, _ *election.Leadership) error {
			if ctx.Value(key{}) != "value" {
				t.Error("the body's context lacks the values of Run's")
			}
			cancel(stop)
			<-ctx.Done()
			if !errors.Is(context.Cause(ctx), stop) {
				t.Errorf("the body's context ended with %v, want the caller's cause", context.Cause(ctx))
			}
			return errBody
		})
		if !errors.Is(err, stop) {
			t.Errorf("Run = %v, want the cause of its context", err)
		}
		if n := ephemerals(server); n != 0 {
			t.Errorf("%d keys are left", n)
		}
	})
}

func TestPanicInTheBodyLeavesNoOffice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := memory.NewServer()
		e := candidate(t, open(t, server), nil)
		func() {
			defer func() {
				if r := recover(); r != "boom" {
					t.Errorf("recovered %v, want the body's panic", r)
				}
			}()
			_ = e.Run(t.Context(), func(context.Context, *election.Leadership) error { panic("boom") })
		}()
		if n := ephemerals(server); n != 0 {
			t.Errorf("%d keys are left", n)
		}
		if err := e.Run(t.Context(), func(context.Context, *election.Leadership) error { return nil }); err != nil {
			t.Errorf("Run after a panic = %v", err)
		}
	})
}

func TestOneRunAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := candidate(t, open(t, memory.NewServer()), nil)
		err := e.Run(t.Context(), func(ctx context.Context, lead *election.Leadership) error {
			if err := e.Run(ctx, func(context.Context, *election.Leadership) error { return nil }); !errors.Is(err, election.ErrCampaigning) {
				t.Errorf("a second Run = %v, want ErrCampaigning", err)
			}
			if _, err := e.Campaign(ctx); !errors.Is(err, election.ErrCampaigning) {
				t.Errorf("Campaign during Run = %v, want ErrCampaigning", err)
			}
			return lead.Resign(ctx) // from inside: Run then just returns
		})
		if err != nil {
			t.Errorf("Run = %v", err)
		}
	})
}

func TestCampaignAfterALossThatWasNotResigned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := memory.NewServer()
		e := candidate(t, open(t, server), nil)
		first := campaign(t, e)
		server.Delete("quorate/election/test/tenure/leader")
		<-first.Context().Done()
		second := campaign(t, e)
		if second.Term() <= first.Term() {
			t.Errorf("term %d after %d", second.Term(), first.Term())
		}
		resign(t, second)
		if n := ephemerals(server); n != 0 {
			t.Errorf("%d keys are left", n)
		}
	})
}

func TestCloseEndsWhatRunsAndRevokes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := memory.NewServer()
		store, err := memory.Open(server, &backend.Options{TTL: ttl})
		if err != nil {
			t.Fatal(err)
		}
		e := candidate(t, store, nil)
		ended := make(chan error, 1)
		led := make(chan struct{})
		go func() {
			ended <- e.Run(t.Context(), func(ctx context.Context, _ *election.Leadership) error {
				close(led)
				<-ctx.Done()
				time.Sleep(time.Second) // still working
				if ephemerals(server) == 0 {
					t.Error("the office was given up under a body that still ran")
				}
				return nil
			})
		}()
		<-led
		if err := store.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if n := ephemerals(server); n != 0 {
			t.Errorf("%d keys are left after Close", n)
		}
		if err := <-ended; !errors.Is(err, backend.ErrClosed) {
			t.Errorf("Run = %v, want ErrClosed", err)
		}
		if _, err := e.Campaign(t.Context()); !errors.Is(err, backend.ErrClosed) {
			t.Errorf("Campaign after Close = %v, want ErrClosed", err)
		}
		if _, err := e.Leader(t.Context()); !errors.Is(err, backend.ErrClosed) {
			t.Errorf("Leader after Close = %v, want ErrClosed", err)
		}
		for _, err := range e.Observe(t.Context()) {
			if !errors.Is(err, backend.ErrClosed) {
				t.Errorf("Observe after Close = %v, want ErrClosed", err)
			}
		}
	})
}

func TestCloseAfterCampaignRevokesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := memory.NewServer()
		store, err := memory.Open(server, &backend.Options{TTL: ttl})
		if err != nil {
			t.Fatal(err)
		}
		lead := campaign(t, candidate(t, store, nil))
		start := time.Now()
		if err := store.Close(); err != nil || time.Since(start) > 0 {
			t.Errorf("Close = %v, took %v", err, time.Since(start))
		}
		if lead.Valid() || ephemerals(server) != 0 {
			t.Error("the leadership outlived its Store")
		}
	})
}

func TestBadArguments(t *testing.T) {
	store, err := memory.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	for name, c := range map[string]struct {
		store *backend.Store
		name  string
		opts  *election.Options
		want  error
		says  string
	}{
		"nil store":     {nil, "x", nil, backend.ErrInvalid, "store"},
		"empty name":    {store, "", nil, backend.ErrInvalid, "name"},
		"long name":     {store, strings.Repeat("n", 101), nil, backend.ErrInvalid, "name"},
		"name not text": {store, "\xff", nil, backend.ErrInvalid, "name"},
		"much metadata": {store, "x", &election.Options{Meta: map[string]string{"k": strings.Repeat("v", 1<<15)}}, backend.ErrTooLarge, "Options.Meta"},
	} {
		_, err := election.New(c.store, c.name, c.opts)
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: New = %v, want %v that names %q", name, err, c.want, c.says)
		}
	}
	e := candidate(t, store, nil)
	if err := e.Run(t.Context(), nil); !errors.Is(err, backend.ErrInvalid) || !strings.Contains(err.Error(), "body") {
		t.Errorf("Run(nil) = %v, want ErrInvalid that names the body", err)
	}
}

func TestNewCopiesItsOptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		meta := map[string]string{"k": "v"}
		e := candidate(t, open(t, memory.NewServer()), &election.Options{Meta: meta})
		meta["k"] = "changed"
		lead := campaign(t, e)
		if l, err := e.Leader(t.Context()); err != nil || l.Meta["k"] != "v" || l.ID == "" {
			t.Errorf("Leader = %+v, %v", l, err)
		}
		resign(t, lead)
	})
}

func TestMinTerm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := memory.NewServer()
		store := open(t, server)
		lead := campaign(t, candidate(t, store, &election.Options{MinTerm: 1000}))
		if lead.Term() != 1001 {
			t.Errorf("term %d, want 1001", lead.Term())
		}
		resign(t, lead)
		lead = campaign(t, candidate(t, store, nil))
		if lead.Term() != 1002 {
			t.Errorf("term %d, want 1002: the store remembers", lead.Term())
		}
		resign(t, lead)
		_, err := candidate(t, store, &election.Options{MinTerm: math.MaxUint64}).Campaign(t.Context())
		if !errors.Is(err, backend.ErrInvalid) {
			t.Errorf("Campaign above the last term = %v, want ErrInvalid", err)
		}
		if n := ephemerals(server); n != 0 {
			t.Errorf("%d keys are left", n)
		}
	})
}

// TestStoredDocuments holds the keys and documents: what is stored is read by
// other versions of the library.
func TestStoredDocuments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := memory.NewServer()
		e, err := election.New(open(t, server), "a/b", &election.Options{ID: "me", Meta: map[string]string{"k": "v"}})
		if err != nil {
			t.Fatal(err)
		}
		lead := campaign(t, e)
		other, err := election.New(open(t, server), "a/b", &election.Options{ID: "next"})
		if err != nil {
			t.Fatal(err)
		}
		won := wins(t, other)
		got := map[string]string{}
		var nonce, next string
		for _, entry := range server.Entries() {
			if _, after, ok := strings.Cut(entry.Key, "queue/"); ok {
				next = after
			}
			if name, ok := strings.CutSuffix(entry.Key, ".spare"); ok {
				_, nonce, _ = strings.Cut(name, "~")
			}
			got[entry.Key] = string(entry.Value)
		}
		base := "quorate/election/a%2Fb/"
		want := map[string]string{
			base + "queue/" + next:                `{"format":2,"holder":"next"}`,
			base + "tenure/leader":                `{"format":2,"number":2,"nonce":"` + nonce + `","holder":"me","meta":{"k":"v"},"in_turn":true}`,
			base + "tenure/2~" + nonce:            `{"format":2,"holder":"me","ttl_ms":10000,"clean":false}`,
			base + "tenure/2~" + nonce + ".spare": `{"format":2,"holder":"me","ttl_ms":10000,"clean":false}`,
		}
		for key, value := range want {
			if got[key] != value {
				t.Errorf("%s is %s, want %s", key, got[key], value)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%d keys, want %d: %v", len(got), len(want), got)
		}
		resign(t, lead)
		resign(t, <-won)
	})
}

// ephemerals counts the keys that some session owns.
func ephemerals(server *memory.Server) (n int) {
	for _, entry := range server.Entries() {
		if entry.Lease != "" {
			n++
		}
	}
	return n
}

// lockedBuffer is written to by goroutines.
type lockedBuffer struct {
	mu      sync.Mutex
	content bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.content.Write(p)
}

// take returns what was written since.
func (b *lockedBuffer) take() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.content.Reset()
	return b.content.String()
}

// The log tells a leadership that was lost from one that was given up.
func TestTheEndOfALeadershipHasItsLevel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := memory.NewServer()
		var log lockedBuffer
		store, err := memory.Open(server, &backend.Options{TTL: ttl, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		want := func(when, level string) {
			t.Helper()
			if text := log.take(); !strings.Contains(text, "level="+level+" msg=\"leadership ended\"") {
				t.Errorf("%s, want level %s:\n%s", when, level, text)
			}
		}
		e := candidate(t, store, nil)
		resign(t, campaign(t, e))
		want("resigned", "INFO")

		lead := campaign(t, e)
		session, err := store.Session(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		server.Expire(session.ID())
		<-lead.Context().Done()
		resign(t, lead)
		want("lost", "WARN")

		ctx, cancel := context.WithCancel(t.Context())
		err = e.Run(ctx, func(context.Context, *election.Leadership) error {
			cancel()
			return nil
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Run = %v", err)
		}
		want("the process ends", "INFO")
	})
}

// TestOneUnderAnotherThatIsLost: an election runs under the leadership of
// another. When that is lost this one is not: it is given up in order.
func TestOneUnderAnotherThatIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := memory.NewServer()
		store := open(t, server)
		outer := campaign(t, candidate(t, store, nil))
		inner, err := election.New(store, "inner", nil)
		if err != nil {
			t.Fatal(err)
		}
		err = inner.Run(outer.Context(), func(ctx context.Context, _ *election.Leadership) error {
			for _, e := range server.Entries() {
				if strings.HasSuffix(e.Key, "/test/tenure/leader") {
					server.Delete(e.Key)
				}
			}
			<-ctx.Done()
			return nil
		})
		if !errors.Is(err, election.ErrLost) {
			t.Errorf("Run = %v, want the cause of the outer one's end", err)
		}
		if status, err := inner.Status(t.Context()); err != nil || !status.Clean {
			t.Errorf("the inner one is left as %+v, %v", status, err)
		}
		resign(t, outer)
	})
}
