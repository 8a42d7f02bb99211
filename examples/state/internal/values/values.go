// Package values writes to the examples that keep state, and looks whether what
// they acknowledged is there: in tests.
package values

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/examples/internal/program"
	"github.com/quorate/quorate/examples/internal/web"
)

// patience is how long a write or a read may be refused.
const patience = time.Minute

// Process is a process of an example, which listens.
type Process struct {
	*program.Process
	URL string
}

// Start starts one.
func Start(t testing.TB, exe string, args ...string) *Process {
	t.Helper()
	p := &Process{Process: program.Start(t, exe, append(args, "-listen", "127.0.0.1:0")...)}
	line, _ := p.Line(t)
	var ok bool
	if p.URL, ok = strings.CutPrefix(line, "listening at "); !ok {
		t.Fatalf("the first line is %q", line)
	}
	return p
}

// Acked are values that were acknowledged, the last of each key.
type Acked map[string]string

// Put writes n values, to n keys in turn, each until it is acknowledged. A
// write that was refused may have taken effect: it is tried again.
func (p *Process) Put(t testing.TB, acked Acked, n int) {
	t.Helper()
	round := len(acked)
	for i := range n {
		key, value := fmt.Sprintf("key/%d", i), fmt.Sprintf("value %d of %d", i, round)
		try(t, "write "+key, func() (bool, error) {
			_, err := p.do(t, http.MethodPut, key, value)
			return err == nil, err
		})
		acked[key] = value
	}
}

// Have holds that what was acknowledged can be read.
func (p *Process) Have(t testing.TB, acked Acked) {
	t.Helper()
	for key, want := range acked {
		try(t, "read "+key, func() (bool, error) {
			value, err := p.do(t, http.MethodGet, key, "")
			if missing(err) {
				t.Errorf("%s is lost", key)
				return true, nil
			}
			if err == nil && value != want {
				t.Errorf("%s is %q, acknowledged was %q", key, value, want)
			}
			return err == nil, err
		})
	}
}

// HaveOrFail holds that what was acknowledged can be read or is refused for the
// time being, and returns what can be read.
func (p *Process) HaveOrFail(t testing.TB, acked Acked) Acked {
	t.Helper()
	here := Acked{}
	for key, want := range acked {
		value, err := p.do(t, http.MethodGet, key, "")
		switch {
		case missing(err), err == nil && value != want:
			t.Errorf("%s is %q, %v, acknowledged was %q", key, value, err, want)
		case err == nil:
			here[key] = value
		}
	}
	return here
}

func (p *Process) do(t testing.TB, method, key, body string) (string, error) {
	t.Helper()
	text, err := web.Do(t.Context(), method, p.URL+"/values/"+url.PathEscape(key), []byte(body))
	return string(text), err
}

func missing(err error) bool {
	status, ok := errors.AsType[*web.StatusError](err)
	return ok && status.Code == http.StatusNotFound
}

// try tries until it is done.
func try(t testing.TB, what string, once func() (done bool, err error)) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); ; <-tick.C {
		done, err := once()
		if done {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
	}
}
