package drivertest

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quorate/quorate/backend/driver"
)

var atomicity = []named{
	{"two-keys-move-together", atomicPair},
	{"key-moves-at-one-instant", atomicMove},
	{"nothing-lost-among-many", atomicMany},
}

// alongside runs f again and again on goroutines of its own until the returned
// function is called; it waits for them.
func (s *suite) alongside(workers int, f func()) (stop func()) {
	ctx, cancel := context.WithCancel(s.Context())
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for ctx.Err() == nil {
				f()
				pause(ctx, time.Millisecond)
			}
		})
	}
	stop = func() { cancel(); wg.Wait() }
	s.Cleanup(stop)
	return stop
}

// atomicPair moves two keys together. Reads take effect in order, so whichever
// is read later is never behind.
func atomicPair(s *suite) {
	writer, reader := s.open(), s.open()
	a, b := s.key("a"), s.key("b")
	v := s.apply(writer, driver.Create(a, []byte("0")), driver.Create(b, []byte("0")))
	check := func(first, second string) {
		all, err := s.tryRead(reader, driver.Key(first), driver.Key(second))
		if err == nil && number(all[1]) < number(all[0]) {
			s.Errorf("%q = %d, and then %q = %d: a part of a commit was seen", first, number(all[0]), second, number(all[1]))
		}
	}
	stop := s.alongside(2, func() { check(a, b); check(b, a) })
	for i := range 60 {
		value := []byte(strconv.Itoa(i + 1))
		v = s.apply(writer, driver.Put(a, value, v[0]), driver.Put(b, value, v[1]))
		pause(s.Context(), time.Millisecond)
	}
	stop()
}

// atomicMove deletes a key and creates the next one: a directory shows one of
// them at every instant.
func atomicMove(s *suite) {
	writer, reader := s.open(), s.open()
	dir := s.key("dir")
	name := func(i int) string { return fmt.Sprintf("%s/%d", dir, i) }
	version := s.apply(writer, driver.Create(name(0), nil))[0]
	stop := s.alongside(2, func() {
		if all, err := s.tryRead(reader, driver.Dir(dir)); err == nil && len(all[0]) != 1 {
			s.Errorf("directory with %q, want one key at every instant", keys(all[0]))
		}
	})
	for i := range 60 {
		ops := []driver.Op{driver.Delete(name(i), version), driver.Create(name(i+1), nil)}
		at := 1
		if i%2 == 0 { // either order of the operations
			ops[0], ops[1], at = ops[1], ops[0], 0
		}
		v := s.apply(writer, ops...)
		if !v[1-at].IsZero() {
			s.Errorf("version %v for a delete, want none", v[1-at])
		}
		version = v[at]
		pause(s.Context(), time.Millisecond)
	}
	stop()
}

// atomicMany lets drivers contend for two counters: every applied commit must
// have counted in both, once.
func atomicMany(s *suite) {
	const rounds = 15
	a, b := s.key("a"), s.key("b")
	first := s.open()
	s.apply(first, driver.Create(a, []byte("0")), driver.Create(b, []byte("0")))
	drivers := []driver.Driver{first, s.open(), s.open()}
	ctx, cancel := context.WithTimeout(s.Context(), patience)
	defer cancel()
	var applied atomic.Int64
	var wg sync.WaitGroup
	for _, d := range drivers {
		wg.Go(func() {
			for done := 0; done < rounds && pause(ctx, time.Millisecond); {
				all, err := s.tryRead(d, driver.Key(a), driver.Key(b))
				if err != nil {
					continue
				}
				var ops []driver.Op
				for _, entries := range all {
					if len(entries) != 1 {
						s.Errorf("a key is missing: %v", all)
						return
					}
					ops = append(ops, driver.Put(entries[0].Key, []byte(strconv.FormatInt(number(entries)+1, 10)), entries[0].Version))
				}
				var result driver.Result
				err = bounded(ctx, func(ctx context.Context) (err error) {
					result, err = d.Commit(ctx, driver.Txn{Ops: ops})
					return err
				})
				if err != nil {
					s.Errorf("Commit: %v", err)
					return
				}
				if result.Applied {
					applied.Add(1)
					done++
				}
			}
		})
	}
	wg.Wait()
	all := s.read(first, driver.Key(a), driver.Key(b))
	want := int64(rounds * len(drivers))
	if applied.Load() != want || number(all[0]) != want || number(all[1]) != want {
		s.Errorf("%d commits applied, the keys say %d and %d; want %d thrice", applied.Load(), number(all[0]), number(all[1]), want)
	}
}
