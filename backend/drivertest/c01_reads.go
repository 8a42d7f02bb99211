package drivertest

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quorate/quorate/backend/driver"
)

var reads = []named{
	{"other-drivers-see-a-commit", readOthers},
	{"targets-in-order", readOrdered},
	{"absent", readAbsent},
	{"deposed-server", readDeposed},
}

func readOthers(s *suite) {
	writer, reader := s.open(), s.open()
	key := s.key("a")
	version := s.apply(writer, driver.Create(key, []byte("0")))[0]
	for i := range 30 {
		want := strconv.Itoa(i + 1)
		version = s.apply(writer, driver.Put(key, []byte(want), version))[0]
		for _, entries := range s.read(reader, driver.Key(key), driver.Dir(s.env.Prefix)) {
			if len(entries) != 1 || string(entries[0].Value) != want {
				s.Fatalf("read after a commit of %s began: %v", want, entries)
			}
		}
	}
}

// readOrdered has one writer that puts a, then b, to the same number: whoever
// reads b first and a later never finds a behind b.
func readOrdered(s *suite) {
	writer, reader := s.open(), s.open()
	a, b := s.key("a"), s.key("b")
	v := s.apply(writer, driver.Create(a, []byte("0")), driver.Create(b, []byte("0")))
	var wg sync.WaitGroup
	stop := make(chan struct{})
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			all, err := s.tryRead(reader, driver.Key(b), driver.Key(a))
			if err == nil && number(all[1]) < number(all[0]) {
				s.Errorf("Read(b, a) gave b = %d and then a = %d, older", number(all[0]), number(all[1]))
				return
			}
			pause(s.Context(), time.Millisecond)
		}
	})
	defer wg.Wait()
	defer close(stop)
	for i := range 60 {
		value := []byte(strconv.Itoa(i + 1))
		v[0] = s.apply(writer, driver.Put(a, value, v[0]))[0]
		v[1] = s.apply(writer, driver.Put(b, value, v[1]))[0]
		pause(s.Context(), time.Millisecond)
	}
	all := s.read(reader, driver.Dir(s.env.Prefix), driver.Key(b), driver.Key(s.key("none")), driver.Key(a))
	if len(all[0]) != 2 || len(all[1]) != 1 || len(all[2]) != 0 || len(all[3]) != 1 || all[1][0].Key != b || all[3][0].Key != a {
		s.Errorf("Read of a directory, b, an absent key and a: %v", all)
	}
}

func readAbsent(s *suite) {
	d := s.open()
	for _, entries := range s.read(d, driver.Key(s.key("none")), driver.Dir(s.key("none")), driver.Key(s.key("none/of/them"))) {
		if len(entries) != 0 {
			s.Errorf("read of what is absent: %v", entries)
		}
	}
}

// readDeposed reads all the while through the server that is deposed, so that
// some reads wait there when it comes to, as others commit elsewhere.
func readDeposed(s *suite) {
	d, other := s.open(), s.open()
	key := s.key("a")
	version := s.apply(other, driver.Create(key, []byte("0")))[0]
	s.read(d, driver.Key(key), driver.Dir(s.env.Prefix))

	var committed atomic.Int64 // what was acknowledged last
	ctx, cancel := context.WithCancel(s.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := int64(1); ctx.Err() == nil; pause(ctx, pace) {
			if v, ok := s.drive(ctx, other, key, i, version); ok {
				version = v
				committed.Store(i)
				i++
			}
		}
	})
	for range 4 {
		wg.Go(func() {
			for ; ctx.Err() == nil; pause(ctx, pace) {
				least := committed.Load()
				all, err := s.tryRead(d, driver.Key(key), driver.Dir(s.env.Prefix))
				if err == nil && min(number(all[0]), number(all[1])) < least {
					s.Errorf("stale read: the key was %d, and %d in its directory, after %d had been acknowledged", number(all[0]), number(all[1]), least)
					return
				}
			}
		})
	}
	stop := func() { cancel(); wg.Wait() }
	defer stop()
	s.env.Depose(s.TB, d, func() {
		before := committed.Load()
		wait, done := context.WithTimeout(ctx, patience)
		defer done()
		for committed.Load() < before+3 {
			if !pause(wait, pace) {
				s.Errorf("no other driver could commit within %v of a server being deposed: nothing is proved", patience)
				return
			}
		}
		pause(ctx, time.Second)
	})
	stop()
	s.reach(d)
	if got := number(s.read(d, driver.Key(key))[0]); got < committed.Load() {
		s.Errorf("read after all has settled: %d, want %d at least", got, committed.Load())
	}
}

// drive tries to put key to i, and settles the outcome by reading when it is
// unknown or the version is outdated.
func (s *suite) drive(ctx context.Context, d driver.Driver, key string, i int64, version driver.Version) (driver.Version, bool) {
	var result driver.Result
	err := bounded(ctx, func(ctx context.Context) (err error) {
		result, err = d.Commit(ctx, driver.Txn{Ops: []driver.Op{driver.Put(key, []byte(strconv.FormatInt(i, 10)), version)}})
		return err
	})
	if err == nil && result.Applied {
		return result.Versions[0], true
	}
	for ; ctx.Err() == nil; pause(ctx, pace) {
		all, err := s.tryRead(d, driver.Key(key))
		if err != nil || len(all[0]) == 0 {
			continue
		}
		version = all[0][0].Version
		if number(all[0]) == i {
			return version, true
		}
		result, err = d.Commit(ctx, driver.Txn{Ops: []driver.Op{driver.Put(key, []byte(strconv.FormatInt(i, 10)), version)}})
		if err == nil && result.Applied {
			return result.Versions[0], true
		}
	}
	return version, false
}

// tryRead is a read that may fail, for use on any goroutine.
func (s *suite) tryRead(d driver.Driver, targets ...driver.Target) (all [][]driver.Entry, err error) {
	ctx, cancel := context.WithTimeout(s.Context(), time.Second)
	defer cancel()
	return d.Read(ctx, targets...)
}

// number returns the number that the only entry holds, -1 if there is none.
func number(entries []driver.Entry) int64 {
	if len(entries) != 1 {
		return -1
	}
	n, err := strconv.ParseInt(string(entries[0].Value), 10, 64)
	if err != nil {
		return -1
	}
	return n
}
