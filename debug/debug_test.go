package debug_test

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/counter"
	"github.com/quorate/quorate/debug"
	"github.com/quorate/quorate/election"
	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/partition"
)

// scene is a process that takes part in all there is, and its page.
type scene struct {
	t       *testing.T
	server  *memory.Server
	store   *backend.Store
	options debug.Options
	counter *counter.Counter
	tally   *counter.Tally
	page    http.Handler
}

// bubble runs a test in virtual time. name is that of everything.
func bubble(t *testing.T, name string, slots int, test func(t *testing.T, s *scene)) {
	synctest.Test(t, func(t *testing.T) {
		s := &scene{t: t, server: memory.NewServer()}
		s.store = s.open()
		e, err := election.New(s.store, name, &election.Options{ID: name, Meta: map[string]string{name: name}})
		must(t, err)
		group, err := membership.New(s.store, name, nil)
		must(t, err)
		work, err := partition.New(group, name, &partition.Options{Slots: slots})
		must(t, err)
		s.counter, err = counter.New(s.store, name, nil)
		must(t, err)
		s.tally, err = counter.NewTally(s.store, name, nil)
		must(t, err)
		s.options = debug.Options{
			Process: name, Elections: []*election.Election{e}, Groups: []*membership.Group{group},
			Partitions: []*partition.Partition{work}, Counters: []*counter.Counter{s.counter}, Tallies: []*counter.Tally{s.tally},
		}
		s.serve()
		test(t, s)
	})
}

func (s *scene) open() *backend.Store {
	s.t.Helper()
	store, err := memory.Open(s.server, nil)
	must(s.t, err)
	s.t.Cleanup(func() { _ = store.Close() })
	return store
}

func (s *scene) serve() {
	s.t.Helper()
	var err error
	s.page, err = debug.Handler(s.store, &s.options)
	must(s.t, err)
}

// work begins to lead and to run slots, until the test ends.
func (s *scene) work(id string) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	reg, err := s.options.Groups[0].Join(ctx, membership.Member{ID: id, Addr: id, Meta: map[string]string{id: id}})
	must(s.t, err)
	done := make(chan struct{}, 2)
	go func() {
		_ = s.options.Elections[0].Run(ctx, func(ctx context.Context, _ *election.Leadership) error { <-ctx.Done(); return nil })
		done <- struct{}{}
	}()
	go func() {
		_ = s.options.Partitions[0].Run(ctx, reg, func(ctx context.Context, _ *partition.Slot) error { <-ctx.Done(); return nil })
		done <- struct{}{}
	}()
	s.t.Cleanup(func() {
		cancel()
		<-done
		<-done
	})
	time.Sleep(5 * time.Second)
}

func (s *scene) get(query string) *httptest.ResponseRecorder {
	s.t.Helper()
	w := httptest.NewRecorder()
	s.page.ServeHTTP(w, httptest.NewRequestWithContext(s.t.Context(), http.MethodGet, "/"+query, nil))
	return w
}

// html returns the page, which has to be well-formed.
func (s *scene) html() string {
	s.t.Helper()
	w := s.get("")
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "text/html; charset=utf-8" {
		s.t.Fatalf("%d, %v", w.Code, w.Header())
	}
	wellFormed(s.t, w.Body.String())
	return w.Body.String()
}

func (s *scene) json() map[string]any {
	s.t.Helper()
	w := s.get("?format=json")
	var all map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &all); err != nil || w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" {
		s.t.Fatalf("%d, %v, %v", w.Code, w.Header(), err)
	}
	return all
}

// at follows keys and indexes into JSON.
func at(v any, path ...any) any {
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[p]
		case int:
			l, _ := v.([]any)
			if p >= len(l) {
				return nil
			}
			v = l[p]
		}
	}
	return v
}

// void matches the elements of HTML that have no end tag.
var void = regexp.MustCompile(`<(meta|link)([^>]*)>`)

// wellFormed fails unless each element of a page is ended in its place.
func wellFormed(t *testing.T, page string) {
	t.Helper()
	page = strings.TrimPrefix(page, "<!doctype html>")
	_, rest, _ := strings.Cut(page, "</style>") // its content is no XML
	head, _, _ := strings.Cut(page, "<style>")
	d := xml.NewDecoder(strings.NewReader(void.ReplaceAllString(head+rest, "<$1$2/>")))
	depth, elements := 0, 0
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("not well-formed: %v", err)
		}
		switch token.(type) {
		case xml.StartElement:
			depth++
			elements++
		case xml.EndElement:
			depth--
		}
	}
	if depth != 0 || elements < 15 {
		t.Errorf("%d elements, %d not ended", elements, depth)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func contains(t *testing.T, when, page string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(page, part) {
			t.Errorf("%s: the page lacks %q", when, part)
		}
	}
}

func TestPage(t *testing.T) {
	bubble(t, "billing/nightly", 16, func(t *testing.T, s *scene) {
		contains(t, "before anything", s.html(), "nobody has led yet", "nobody waits", "16</span> slots, no plan yet")
		s.work("worker-7")
		_, err := s.counter.Add(t.Context(), 41)
		must(t, err)
		s.tally.Add(1234)
		must(t, s.tally.Flush(t.Context()))
		// Somebody waits, and a member that does not run slots.
		other := s.open()
		rival, err := election.New(other, "billing/nightly", &election.Options{ID: "rival"})
		must(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		gaveUp := make(chan struct{})
		go func() { defer close(gaveUp); _, _ = rival.Campaign(ctx) }()
		defer func() { cancel(); <-gaveUp }()
		time.Sleep(2 * time.Second)

		page := s.html()
		contains(t, "at work", page, "trusted", "led</span> by <bdi class=\"leader\">billing/nightly</bdi>", "<bdi>rival</bdi>",
			"<bdi>worker-7</bdi>", "up to date", "settled", ">41<", ">1234<", `<path class="c`, `http-equiv="refresh" content="2"`)
		if strings.Contains(page, `class="banner"`) || strings.Contains(page, "style=") || strings.Contains(page, "<script") {
			t.Error("a banner, inline style or script on a page of what is well")
		}
		all := s.json()
		for want, path := range map[any][]any{
			"trusted": {"session", "state"}, 9000.0: {"session", "window_ms"},
			"billing/nightly": {"elections", 0, "name"}, true: {"elections", 0, "data", "led"},
			"rival": {"elections", 0, "data", "queue", 0, "id"}, "worker-7": {"groups", 0, "data", "members", 0, "id"},
			1.0: {"partitions", 0, "data", "epoch"}, 15.0: {"partitions", 0, "data", "owners", 0, "to"}, "1 ×16": {"partitions", 0, "data", "members", 0, "tokens"},
			16.0: {"partitions", 0, "data", "members", 0, "claimed"}, 41.0: {"counters", 0, "data", "value"}, 1234.0: {"tallies", 0, "data", "value"},
			nil: {"counters", 0, "error"},
		} {
			if got := at(all, path...); got != want {
				t.Errorf("%v is %v, want %v", path, got, want)
			}
		}
	})
}

func TestStoreDown(t *testing.T) {
	bubble(t, "e", 4, func(t *testing.T, s *scene) {
		s.work("m")
		_, err := s.counter.Add(t.Context(), 41)
		must(t, err)
		time.Sleep(2 * time.Second)
		s.html()
		s.server.SetDown(true)
		time.Sleep(2 * time.Second)
		contains(t, "in the trust window", s.html(), "could not be read", "trusted", "as of", "the store is down")
		time.Sleep(18 * time.Second)
		began := time.Now()
		contains(t, "after it", s.html(), "4 parts could not be read", ">over<", `<bdi class="leader">e</bdi>`, ">41<", "stale", "as of 2")
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("it took %v, Timeout is 2s", took)
		}
		all := s.json()
		if at(all, "session", "state") != "over" || at(all, "session", "trust_left_ms") != 0.0 || at(all, "counters", 0, "data", "value") != 41.0 ||
			!strings.Contains(fmt.Sprint(at(all, "elections", 0, "error")), "the store is down") {
			t.Errorf("%v", all)
		}
		s.server.SetDown(false)
		time.Sleep(30 * time.Second)
		page := s.html()
		contains(t, "back", page, "trusted", "settled")
		if strings.Contains(page, `class="banner"`) {
			t.Error("a banner although all can be read")
		}
		must(t, s.store.Close())
		time.Sleep(2 * time.Second)
		contains(t, "closed", s.html(), ">over<", "could not be read")
	})
}

func TestStoreDownFromTheStart(t *testing.T) {
	bubble(t, "e", 4, func(t *testing.T, s *scene) {
		s.server.SetDown(true)
		page := s.html()
		contains(t, "", page, "none yet", "4 parts could not be read", "not read yet", ">?<")
		if strings.Contains(page, "as of") {
			t.Error("something was read")
		}
		s.server.SetDown(false)
	})
}

// TestSilentStore: all that is read has one deadline, together.
func TestSilentStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := memory.NewDriver(memory.NewServer())
		store, err := backend.New(d, nil)
		must(t, err)
		defer store.Close()
		var options debug.Options
		for i := range 100 {
			c, err := counter.New(store, fmt.Sprint(i), nil)
			must(t, err)
			options.Counters = append(options.Counters, c)
		}
		page, err := debug.Handler(store, &options)
		must(t, err)
		d.Silence()
		began := time.Now()
		w := httptest.NewRecorder()
		page.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
		if took := time.Since(began); w.Code != http.StatusOK || took > 2100*time.Millisecond {
			t.Errorf("%d after %v", w.Code, took)
		}
		contains(t, "silent", w.Body.String(), "100 parts could not be read")
		d.Heal()
	})
}

func TestHostileNames(t *testing.T) {
	const evil = `</style></title><script>x=1</script>"'><b onload=1>{{.}}`
	bubble(t, evil, 4, func(t *testing.T, s *scene) {
		s.work("\u202e" + evil)
		time.Sleep(2 * time.Second)
		page := s.html()
		if n := strings.Count(page, "&lt;script&gt;"); n < 12 {
			t.Errorf("the name is on the page %d times", n)
		}
		for _, part := range []string{"<script", "</style></title>", "<b ", "\u202e", "onload=1>{"} {
			if strings.Contains(page, part) {
				t.Errorf("the page has %q", part)
			}
		}
		if strings.Count(page, "</style>") != 1 || strings.Count(page, "</title>") != 1+1 { // one in the map
			t.Error("a name ended an element")
		}
		if got := at(s.json(), "elections", 0, "name"); got != evil {
			t.Errorf("in JSON the name is %q", got)
		}
		if strings.Contains(s.get("?format=json").Body.String(), "<script") {
			t.Error("the JSON has markup")
		}
	})
}

// cells are those of a map, one for each slot.
var cells = regexp.MustCompile(`M\d+\.06 \d+\.06h`)

func TestEverySlotHasACell(t *testing.T) {
	for _, slots := range []int{1, 3, 17, 256} {
		bubble(t, "p", slots, func(t *testing.T, s *scene) {
			s.work("m")
			if n := len(cells.FindAllString(s.html(), -1)); n != slots {
				t.Errorf("%d slots, %d cells", slots, n)
			}
		})
	}
}

func TestListsAreCut(t *testing.T) {
	bubble(t, "g", 4, func(t *testing.T, s *scene) {
		s.work("m")
		ctx, cancel := context.WithCancel(t.Context())
		var waiting []chan struct{}
		for range 30 {
			rival, err := election.New(s.store, "g", nil)
			must(t, err)
			done := make(chan struct{})
			waiting = append(waiting, done)
			go func() { defer close(done); _, _ = rival.Campaign(ctx) }()
		}
		for i := range 120 {
			_, err := s.options.Groups[0].Join(ctx, membership.Member{ID: fmt.Sprintf("x%03d", i), Meta: map[string]string{"long": strings.Repeat("y", 5000)}})
			must(t, err)
		}
		time.Sleep(5 * time.Second)
		page := s.html()
		contains(t, "", page, "and 10 more", "and 21 more", "121</span> members")
		if len(page) > 200_000 {
			t.Errorf("the page has %d bytes", len(page))
		}
		cancel()
		for _, done := range waiting {
			<-done
		}
	})
}
