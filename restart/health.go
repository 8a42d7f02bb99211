package restart

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// checkTimeout is what a probe grants each check: orchestrators grant a probe
// a second by default.
const checkTimeout = 900 * time.Millisecond

// Health answers the probes of an orchestrator, through two handlers: live
// (restart me if not) and ready (send me requests if so). They answer 200, or
// 503 with the reasons, a line each.
//
// A Health is live from the start. It is ready once SetReady was called, until
// SetUnready is called or Run drains. It does not ask the store: an outage of
// the store is no reason to restart a process, and for most services no reason
// to take it out of service. Add a check if your service needs one.
//
// The zero Health is ready to use, and its methods may be called concurrently.
type Health struct {
	mu       sync.Mutex
	ready    bool
	reason   string // why not ready, set by SetUnready
	draining error
	live     []Check
	serving  []Check
}

// SetReady says that the service can do its work now. While the process drains
// it stays unready.
func (h *Health) SetReady() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ready, h.reason = true, ""
}

// SetUnready says why the service cannot do its work for the time being.
func (h *Health) SetUnready(reason string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ready, h.reason = false, reason
}

// AddLive makes the process live only while the check answers well: it is
// restarted otherwise, so it must be one that a restart cures. A check has
// 900 ms. One without a name or function fails each probe, which says so.
func (h *Health) AddLive(c Check) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.live = append(h.live, c)
}

// AddReady makes the process ready only while the check answers well, within
// 900 ms. Mind that what all replicas depend on takes all of them out of
// service at once.
func (h *Health) AddReady(c Check) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.serving = append(h.serving, c)
}

// drain makes the process unready for good.
func (h *Health) drain(why error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.draining = why
}

// Live returns the handler of liveness probes.
func (h *Health) Live() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		checks := h.live
		h.mu.Unlock()
		answer(w, "live", failing(r.Context(), checks))
	})
}

// Ready returns the handler of readiness probes.
func (h *Health) Ready() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		checks := h.serving
		var reasons []string
		switch {
		case h.draining != nil:
			reasons = append(reasons, h.draining.Error())
		case !h.ready && h.reason == "":
			reasons = append(reasons, "starting")
		case !h.ready:
			reasons = append(reasons, h.reason)
		}
		h.mu.Unlock()
		answer(w, "ready", append(reasons, failing(r.Context(), checks)...))
	})
}

// failing asks the checks, all at once, and returns why some fail.
func failing(ctx context.Context, checks []Check) (reasons []string) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	errs := make([]error, len(checks))
	var all sync.WaitGroup
	for i, c := range checks {
		all.Go(func() {
			if errs[i] = c.valid(); errs[i] == nil {
				errs[i] = c.ask(ctx)
			}
		})
	}
	all.Wait()
	for i, err := range errs {
		if err != nil {
			reasons = append(reasons, fmt.Sprintf("%s: %s", checks[i].Name, short(err)))
		}
	}
	return reasons
}

func answer(w http.ResponseWriter, good string, reasons []string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if len(reasons) == 0 {
		fmt.Fprintln(w, good)
		return
	}
	w.WriteHeader(http.StatusServiceUnavailable)
	fmt.Fprintln(w, strings.Join(reasons, "\n"))
}
