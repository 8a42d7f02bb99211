package drivertest_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/quorate/quorate/backend/driver"
)

// watching makes a bug of what a watch delivers: f is called with each state
// and delivers what it likes. It is made anew for each watch.
func watching(f func() func(entries []driver.Entry, changed func([]driver.Entry))) func() hooks {
	return func() hooks {
		return hooks{watch: func(b *broken, ctx context.Context, target driver.Target, changed func([]driver.Entry)) error {
			g := f()
			return b.Driver.Watch(ctx, target, func(entries []driver.Entry) { g(entries, changed) })
		}}
	}
}

// deaf makes a bug that takes the end of a watch for a quiet one.
func deaf(to error) func() hooks {
	return func() hooks {
		return hooks{watch: func(b *broken, ctx context.Context, target driver.Target, changed func([]driver.Entry)) error {
			err := b.Driver.Watch(ctx, target, changed)
			if errors.Is(err, to) && ctx.Err() == nil {
				<-ctx.Done()
			}
			return err
		}}
	}
}

var watchBugs = map[string]bug{
	"no first state": {watching(func() func([]driver.Entry, func([]driver.Entry)) {
		first := true
		return func(entries []driver.Entry, changed func([]driver.Entry)) {
			if !first {
				changed(entries)
			}
			first = false
		}
	}), "C08-watches/present-state-first C08-watches/changes"},
	"absent is no first state": {watching(func() func([]driver.Entry, func([]driver.Entry)) {
		first := true
		return func(entries []driver.Entry, changed func([]driver.Entry)) {
			if !first || len(entries) > 0 {
				changed(entries)
			}
			first = false
		}
	}), "C08-watches/present-state-first C14-directories/watch"},
	"old first state": {func() hooks {
		var mu sync.Mutex
		last := map[driver.Target][]driver.Entry{}
		return hooks{watch: func(b *broken, ctx context.Context, target driver.Target, changed func([]driver.Entry)) error {
			mu.Lock()
			old := last[target]
			mu.Unlock()
			if old != nil {
				changed(deep([][]driver.Entry{old})[0])
			}
			return b.Driver.Watch(ctx, target, func(entries []driver.Entry) {
				mu.Lock()
				last[target] = deep([][]driver.Entry{entries})[0]
				mu.Unlock()
				changed(entries)
			})
		}}
	}, "C08-watches/present-state-first"},
	"deletes are missed": {watching(func() func([]driver.Entry, func([]driver.Entry)) {
		n := 0
		return func(entries []driver.Entry, changed func([]driver.Entry)) {
			if len(entries) >= n {
				n = len(entries)
				changed(entries)
			}
		}
	}), "C08-watches/changes C08-watches/expiry C08-watches/many-quick-changes C08-watches/two-watches-of-one-target " +
		"C11-equal-values/put-of-equal-bytes C08-watches/silence C08-watches/mute C08-watches/restore"},
	"changes of values are missed": {watching(func() func([]driver.Entry, func([]driver.Entry)) {
		n := -1
		return func(entries []driver.Entry, changed func([]driver.Entry)) {
			if len(entries) != n {
				n = len(entries)
				changed(entries)
			}
		}
	}), "C08-watches/changes C08-watches/many-quick-changes C11-equal-values/put-of-equal-bytes"},
	"the last of quick changes is missed": {watching(func() func([]driver.Entry, func([]driver.Entry)) {
		var last time.Time
		return func(entries []driver.Entry, changed func([]driver.Entry)) {
			if time.Since(last) >= time.Millisecond {
				last = time.Now()
				changed(entries)
			}
		}
	}), "C08-watches/many-quick-changes C08-watches/changes C08-watches/expiry"},
	"goes back": {watching(func() func([]driver.Entry, func([]driver.Entry)) {
		var states [][]driver.Entry
		return func(entries []driver.Entry, changed func([]driver.Entry)) {
			states = append(states, deep([][]driver.Entry{entries})[0])
			for _, state := range states {
				changed(deep([][]driver.Entry{state})[0])
			}
		}
	}), "C08-watches/many-quick-changes"},
	"revisions that went back are old news": {watching(func() func([]driver.Entry, func([]driver.Entry)) {
		newest := uint64(0)
		return func(entries []driver.Entry, changed func([]driver.Entry)) {
			highest := uint64(0)
			for _, e := range entries {
				highest = max(highest, e.Modified)
			}
			if len(entries) == 0 || highest >= newest {
				newest = max(highest, newest)
				changed(entries)
			}
		}
	}), "C08-watches/restore"},
	"deaf after a failure": {deaf(driver.ErrUnavailable), "C08-watches/cut C08-watches/forget C08-watches/forget-while-cut"},
	"one watch of a target at a time": {func() hooks {
		var mu sync.Mutex
		running := map[driver.Target]context.CancelFunc{}
		return hooks{watch: func(b *broken, ctx context.Context, target driver.Target, changed func([]driver.Entry)) error {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			mu.Lock()
			if other := running[target]; other != nil {
				mu.Unlock()
				<-ctx.Done() // shares the other's, and hears nothing
				return ctx.Err()
			}
			running[target] = cancel
			mu.Unlock()
			return b.Driver.Watch(ctx, target, changed)
		}}
	}, "C08-watches/two-watches-of-one-target"},
	"delivers after its end": {func() hooks {
		return hooks{watch: func(b *broken, ctx context.Context, target driver.Target, changed func([]driver.Entry)) error {
			err := b.Driver.Watch(ctx, target, changed)
			go func() {
				time.Sleep(time.Millisecond)
				changed(nil)
			}()
			return err
		}}
	}, "C08-watches/cut"},
	"delivers twice at a time": {func() hooks {
		return hooks{watch: func(b *broken, ctx context.Context, target driver.Target, changed func([]driver.Entry)) error {
			var wg sync.WaitGroup
			defer wg.Wait()
			return b.Driver.Watch(ctx, target, func(entries []driver.Entry) {
				for range 16 {
					wg.Go(func() { changed(slices.Clone(entries)) })
				}
			})
		}}
	}, "C08-watches/many-quick-changes"},
	"ends without a reason": {func() hooks {
		return hooks{watch: func(b *broken, ctx context.Context, target driver.Target, changed func([]driver.Entry)) error {
			_ = b.Driver.Watch(ctx, target, changed)
			return nil
		}}
	}, "C08-watches/changes C09-contexts/silence"},
	"shows what lies deeper": {func() hooks {
		return hooks{watch: func(b *broken, ctx context.Context, target driver.Target, changed func([]driver.Entry)) error {
			return b.Driver.Watch(ctx, target, func([]driver.Entry) { changed(below(b, target.Path, "")) })
		}}
	}, "C14-directories/watch"},
}
