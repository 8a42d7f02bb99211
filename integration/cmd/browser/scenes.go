package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/counter"
	"github.com/quorate/quorate/debug"
	"github.com/quorate/quorate/election"
	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/partition"
)

// scene is a page of a process of its own, with members that share slots.
type scene struct {
	server *memory.Server
	url    string
	end    []func() error
}

func (s *scene) close() error {
	var errs []error
	for i := range s.end {
		errs = append(errs, s.end[len(s.end)-1-i]())
	}
	return errors.Join(errs...)
}

// set opens a scene in which the election, the group and the rest have a name,
// and members as many as there are IDs.
func set(ttl time.Duration, name string, slots int, ids ...string) (_ *scene, err error) {
	s := &scene{server: memory.NewServer()}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	ctx, cancel := context.WithCancel(context.Background())
	s.end = append(s.end, func() error { cancel(); return nil })
	var options debug.Options
	var first *backend.Store
	for i, id := range ids {
		store, err := memory.Open(s.server, &backend.Options{TTL: ttl})
		if err != nil {
			return nil, err
		}
		s.end = append(s.end, store.Close)
		group, err := membership.New(store, name, nil)
		if err != nil {
			return nil, err
		}
		e, err1 := election.New(store, name, &election.Options{ID: id, Meta: map[string]string{id: id}})
		work, err2 := partition.New(group, name, &partition.Options{Slots: slots, Settle: 50 * time.Millisecond})
		number, err3 := counter.New(store, name, nil)
		tally, err4 := counter.NewTally(store, name, nil)
		if err := errors.Join(err1, err2, err3, err4); err != nil {
			return nil, err
		}
		reg, err := group.Join(ctx, membership.Member{ID: id, Addr: id, Meta: map[string]string{id: id}})
		if err != nil {
			return nil, err
		}
		s.run(ctx, func(ctx context.Context) {
			_ = e.Run(ctx, func(ctx context.Context, _ *election.Leadership) error { <-ctx.Done(); return nil })
		})
		s.run(ctx, func(ctx context.Context) {
			_ = work.Run(ctx, reg, func(ctx context.Context, _ *partition.Slot) error { <-ctx.Done(); return nil })
		})
		if _, err := number.Add(ctx, 41); err != nil {
			return nil, err
		}
		if i > 0 {
			continue
		}
		first = store
		options = debug.Options{
			Process: id, Elections: []*election.Election{e}, Groups: []*membership.Group{group},
			Partitions: []*partition.Partition{work}, Counters: []*counter.Counter{number}, Tallies: []*counter.Tally{tally},
		}
		s.end = append(s.end, tally.Close)
	}
	page, err := debug.Handler(first, &options)
	if err != nil {
		return nil, err
	}
	served := httptest.NewServer(page)
	s.end = append(s.end, func() error { served.Close(); return nil })
	s.url = served.URL
	return s, nil
}

// run runs f until the scene is closed, before what was opened earlier is.
func (s *scene) run(ctx context.Context, f func(context.Context)) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(ctx)
	}()
	s.end = append(s.end, func() error {
		cancel()
		<-done
		return nil
	})
}

// shows navigates to the page and waits for what it has to show.
func (s *scene) shows(b *browser, what, expression string) error {
	if err := b.do(chromedp.Navigate(s.url)); err != nil {
		return err
	}
	return b.until(what, expression, patience)
}

const settled = `[...document.querySelectorAll(".partition .good")].some(e => e.textContent === "settled")`

// outage takes the store away.
func outage(b *browser) (err error) {
	s, err := set(5*time.Second, "billing", 64, "worker-0", "worker-1", "worker-2")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.shows(b, "slots that are settled", settled); err != nil {
		return err
	}
	s.server.SetDown(true)
	// The page finds out by itself: it is not loaded again here.
	if err := b.until("a banner", `!!document.querySelector(".banner")`, patience); err != nil {
		return err
	}
	if err := b.until("a session that is over, and who led last", `document.querySelector("section .bad").textContent === "over" && document.querySelector(".leader").textContent !== ""`, patience); err != nil {
		return err
	}
	if err := b.pictures("outage", s.url+"?refresh=off", light, narrowDark); err != nil {
		return err
	}
	s.server.SetDown(false)
	if err := s.shows(b, "a page as before", `!document.querySelector(".banner") && `+settled); err != nil {
		return err
	}
	return b.untroubled()
}

// hostile has names that a page must not take for markup.
func hostile(b *browser) (err error) {
	const name = `</style><script>window.pwned=1</script><img src=x onerror=pwned=1>"' {{.}}`
	s, err := set(time.Minute, name, 16, name, "\u202eevil\u0000", `<svg onload=pwned=1>`, "worker-with-a-name-of-almost-a-hundred-bytes-without-a-space-where-a-line-could-end-so-it-must-wrap")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.shows(b, "slots that are settled", settled); err != nil {
		return err
	}
	if ran, err := eval[bool](b, `"pwned" in window || document.querySelectorAll("script,img").length > 0 || document.querySelectorAll("svg").length !== 1`); err != nil || ran {
		return fmt.Errorf("a name became markup (%w)", err)
	}
	if shown, err := eval[string](b, `document.querySelector(".election h3").textContent`); err != nil || shown != name {
		return fmt.Errorf("the name is shown as %q (%w)", shown, err)
	}
	return b.pictures("hostile", s.url+"?refresh=off", dark, narrow)
}

// many has the most slots that there can be.
func many(b *browser) (err error) {
	var ids []string
	for i := range 12 {
		ids = append(ids, fmt.Sprintf("worker-%02d", i))
	}
	s, err := set(time.Minute, "shards", partition.MaxSlots, ids...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.shows(b, "slots of twelve members that are settled", settled+` && document.querySelectorAll(".partition tbody tr").length === 12`); err != nil {
		return err
	}
	if n, err := size(s.url); err != nil || n > 1<<20 {
		return fmt.Errorf("the page has %d bytes, want a megabyte at most (%w)", n, err)
	}
	return b.pictures("many", s.url+"?refresh=off", light, dark, narrow)
}

func size(url string) (int64, error) {
	answer, err := http.Get(url)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	return answer.ContentLength, nil
}
