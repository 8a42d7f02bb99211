package debug

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/counter"
	"github.com/quorate/quorate/election"
	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/partition"
)

const (
	defaultTimeout = 2 * time.Second
	defaultRefresh = 2 * time.Second
	// fresh is for how long what was read is shown to all viewers.
	fresh = time.Second
)

// Options say what is shown; nil, and nil fields, are good.
type Options struct {
	// Process names this process on the page; by default the host's name and
	// the process's number.
	Process string

	// The objects to show beside the session, in this order. They are the
	// service's own, or others of the same names: a process that only looks
	// needs no other rights.
	Elections  []*election.Election
	Groups     []*membership.Group
	Partitions []*partition.Partition
	Counters   []*counter.Counter
	Tallies    []*counter.Tally

	// Timeout bounds the reads of one round together, 2 s by default.
	Timeout time.Duration
	// Refresh is after how long the page loads itself again, 2 s by default, a
	// second at least, negative: not by itself. A viewer can pause it.
	Refresh time.Duration
}

// Handler returns a handler that serves the page at whatever path it is mounted
// at, and with the query ?format=json the same as JSON. It does no I/O before
// the first request, and takes GET and HEAD only.
//
// Arguments that make no sense are backend.ErrInvalid, a nil handle among them.
func Handler(store *backend.Store, options *Options) (http.Handler, error) {
	if store == nil {
		return nil, fmt.Errorf("debug: %w: the store is nil", backend.ErrInvalid)
	}
	h := &handler{store: store}
	if options != nil {
		h.opts = *options
	}
	if h.opts.Process == "" {
		host, _ := os.Hostname() // a nameless host is still told by its process
		h.opts.Process = host + "-" + strconv.Itoa(os.Getpid())
	}
	if h.opts.Timeout == 0 {
		h.opts.Timeout = defaultTimeout
	}
	if h.opts.Refresh == 0 {
		h.opts.Refresh = defaultRefresh
	}
	switch {
	case h.opts.Timeout < 0:
		return nil, fmt.Errorf("debug: %w: Options.Timeout is negative", backend.ErrInvalid)
	case h.opts.Refresh > 0 && h.opts.Refresh < time.Second:
		return nil, fmt.Errorf("debug: %w: Options.Refresh is %v, a second is the least", backend.ErrInvalid, h.opts.Refresh)
	}
	for what, isNil := range map[string]bool{
		"Elections": hasNil(h.opts.Elections), "Groups": hasNil(h.opts.Groups), "Partitions": hasNil(h.opts.Partitions),
		"Counters": hasNil(h.opts.Counters), "Tallies": hasNil(h.opts.Tallies),
	} {
		if isNil {
			return nil, fmt.Errorf("debug: %w: Options.%s has a nil", backend.ErrInvalid, what)
		}
	}
	return h, nil
}

func hasNil[T any](handles []*T) bool {
	for _, h := range handles {
		if h == nil {
			return true
		}
	}
	return false
}

type handler struct {
	store *backend.Store
	opts  Options

	mu   sync.Mutex
	last *report
	busy chan struct{} // closed when the round of reads under way is over
}

// ServeHTTP serves the page or the JSON.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Content-Security-Policy", policy)
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		header.Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
		return
	}
	query := r.URL.Query()
	var render func(*bytes.Buffer, report) error
	switch format := query.Get("format"); format {
	case "":
		header.Set("Content-Type", "text/html; charset=utf-8")
		refresh := h.opts.Refresh
		if query.Get("refresh") == "off" {
			refresh = 0
		}
		render = func(b *bytes.Buffer, rep report) error { return renderPage(b, rep, refresh, h.opts.Refresh > 0) }
	case "json":
		header.Set("Content-Type", "application/json")
		render = func(b *bytes.Buffer, rep report) error {
			e := json.NewEncoder(b)
			e.SetIndent("", " ")
			return e.Encode(rep)
		}
	default:
		http.Error(w, "format may be json, or left out", http.StatusBadRequest)
		return
	}
	rep := h.report(r.Context())
	if rep == nil {
		return // the viewer has gone
	}
	shown := *rep
	shown.Session = sessionOf(h.store)
	var body bytes.Buffer
	if err := render(&body, shown); err != nil {
		http.Error(w, "the page could not be made", http.StatusInternalServerError)
		h.store.Logger().Error("the debug page could not be made", "error", err)
		return
	}
	header.Set("Content-Length", strconv.Itoa(body.Len()))
	if r.Method == http.MethodGet {
		_, _ = w.Write(body.Bytes()) // a viewer that goes away is nobody's trouble
	}
}
