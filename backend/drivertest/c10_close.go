package drivertest

import (
	"bytes"
	"context"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
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
	{"call-under-way", closeUnderWay},
}

// closeUnder ends calls of every kind by their context, as the Store does, and
// closes the driver. Close must return by its deadline, and no goroutine may
// stay.
func closeUnder(s *suite, disturb func(testing.TB, driver.Driver)) {
	before := goroutines()
	d := s.open()
	lease := s.grant(d)
	if disturb != nil {
		disturb(s.TB, d)
	}
	ended := s.endAll(s.underWay(d, lease, disturb != nil), true)
	for _, o := range ended {
		if disturb == nil && o.late < 0 {
			s.Errorf("%s ended by itself: %v", o.method, o.err)
		}
	}
	s.closeInTime(d)
	s.noneLeft(d, before)
	s.env.Heal(s.TB, d)
}

// underWay returns the calls that stay under way: on a store that answers only
// the watches do.
func (s *suite) underWay(d driver.Driver, lease driver.Lease, disturbed bool) []method {
	var under []method
	for _, m := range s.methods(d, lease, "closed") {
		if disturbed || strings.HasPrefix(m.name, "Watch") {
			under = append(under, m)
		}
	}
	return under
}

// closeUnderWay closes a driver with calls under way that do not return, as the
// Store does at its deadline. Close must not wait for them, and nothing may
// stay once their context has ended.
func closeUnderWay(s *suite) {
	before := goroutines()
	d := s.open()
	lease := s.grant(d)
	s.env.Silence(s.TB, d)
	ctx, cancel := context.WithTimeout(s.Context(), patience)
	defer cancel()
	var calls sync.WaitGroup
	for _, m := range s.underWay(d, lease, true) {
		calls.Go(func() { _ = m.call(ctx) })
	}
	pause(ctx, 30*pace) // time to be under way
	s.closeInTime(d)
	cancel()
	ended := make(chan struct{})
	go func() {
		calls.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(patience):
		s.Fatalf("calls under way when the driver was closed have not returned %v after their context ended", patience)
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
	go func() { done <- s.close(ctx, d) }()
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
