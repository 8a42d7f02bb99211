package drivertest

import (
	"bytes"
	"context"
	"errors"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/backend/driver"
)

var closing = []named{
	{"idle", func(s *suite) { closeUnder(s, nil) }},
	{"silence", func(s *suite) { closeUnder(s, s.env.Silence) }},
	{"mute", func(s *suite) { closeUnder(s, s.env.Mute) }},
	{"cut", func(s *suite) { closeUnder(s, s.env.Cut) }},
	{"never-used", closeUnused},
}

// closeUnder closes a driver with calls of every kind under way. Close must
// return by its deadline, the calls must end, and no goroutine may stay.
func closeUnder(s *suite, disturb func(testing.TB, driver.Driver)) {
	before := goroutines()
	d := s.open()
	lease := s.grant(d)
	if disturb != nil {
		disturb(s.TB, d)
	}
	results := make(chan outcome)
	var under []method
	for _, m := range s.methods(d, lease, "closed") {
		// On a store that answers only a watch is still under way.
		if disturb != nil || strings.HasPrefix(m.name, "Watch") {
			under = append(under, m)
		}
	}
	ctx, cancel := context.WithTimeout(s.Context(), 2*patience)
	defer cancel()
	for _, m := range under {
		go func() {
			err := m.call(ctx)
			select {
			case results <- outcome{method: m.name, err: err}:
			case <-ctx.Done():
			}
		}()
	}
	ended := map[string]error{}
	// Time to be under way; on a cut connection calls may fail meanwhile.
	timer := time.NewTimer(30 * pace)
	defer timer.Stop()
	for waiting := true; waiting; {
		select {
		case o := <-results:
			ended[o.method] = o.err
		case <-timer.C:
			waiting = false
		}
	}
	early := len(ended)
	if disturb == nil && early > 0 {
		s.Errorf("calls that ended by themselves: %v", ended)
	}
	s.closeInTime(d)
	late := time.After(patience)
	for len(ended) < len(under) {
		select {
		case o := <-results:
			ended[o.method] = o.err
			if !errors.Is(o.err, driver.ErrClosed) {
				s.Errorf("%s under way when the driver was closed: %v, want ErrClosed", o.method, o.err)
			}
		case <-late:
			s.Fatalf("%d of %d calls ended within %v after Close", len(ended), len(under), patience)
		}
	}
	for _, m := range s.methods(d, lease, "after") {
		s.wantError(m.name+" after Close", bounded(s.Context(), m.call), driver.ErrClosed)
	}
	s.noneLeft(d, before)
	s.env.Heal(s.TB, d)
}

func closeUnused(s *suite) {
	before := goroutines()
	for _, disturb := range []func(testing.TB, driver.Driver){nil, s.env.Silence} {
		d := s.open()
		if disturb != nil {
			disturb(s.TB, d)
		}
		s.closeInTime(d)
		s.noneLeft(d, before)
		s.env.Heal(s.TB, d)
	}
}

// closeInTime closes a driver, which must be done soon after the deadline. An
// error is fine: the store may not be there to say goodbye to.
func (s *suite) closeInTime(d driver.Driver) {
	s.Helper()
	const deadline = time.Second
	ctx, cancel := context.WithTimeout(s.Context(), deadline)
	defer cancel()
	start := time.Now()
	done := make(chan error, 1)
	go func() { done <- d.Close(ctx) }()
	select {
	case err := <-done:
		if took := time.Since(start); took > deadline+promptly {
			s.Errorf("Close took %v with a deadline of %v: %v", took, deadline, err)
		}
	case <-time.After(patience):
		s.Fatalf("Close did not return within %v", patience)
	}
}

// noneLeft waits until no goroutine is left that d's package, or one that
// Env.Owned names, began or runs in, save those that were there before.
func (s *suite) noneLeft(d driver.Driver, before map[string]string) {
	s.Helper()
	t := reflect.TypeOf(d)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	packages := append(slices.Clone(s.env.Owned), t.PkgPath())
	var left []string
	ctx, cancel := context.WithTimeout(s.Context(), patience/3)
	defer cancel()
	for {
		left = left[:0]
		for id, stack := range goroutines() {
			if before[id] == "" && slices.ContainsFunc(packages, func(p string) bool { return strings.Contains(stack, p+".") }) {
				left = append(left, stack)
			}
		}
		if len(left) == 0 {
			return
		}
		if !pause(ctx, 5*pace) {
			s.Errorf("%d goroutines left after Close:\n%s", len(left), strings.Join(left, "\n\n"))
			return
		}
	}
}

// goroutines returns the stacks of all goroutines by their ids, the present
// one left out.
func goroutines() map[string]string {
	stacks := make([]byte, 1<<20)
	for {
		if n := runtime.Stack(stacks, true); n < len(stacks) {
			stacks = stacks[:n]
			break
		}
		stacks = make([]byte, 2*len(stacks))
	}
	all := map[string]string{}
	for i, stack := range bytes.Split(stacks, []byte("\n\n")) {
		if id, _, ok := strings.Cut(string(stack), " ["); ok && i > 0 {
			all[id] = string(stack)
		}
	}
	return all
}
