package backend_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/memory"
)

func TestAWatcherTellsWhetherItsWatchIsUp(t *testing.T) {
	// Catches: up before the first read; a failure that is not told, or told as
	// of the last attempt; a newcomer that makes the watch look broken; a watch
	// that is back without news in it.
	bubble(t, func(t *testing.T, server *memory.Server) {
		s, d := open(t, server, nil)
		d.Cut()
		start := time.Now()
		w := watch(t, s, driver.Key("a"), driver.Dir("dir"))
		defer w.Close()
		want := func(when string, up bool, since time.Time, slack time.Duration) {
			t.Helper()
			gotUp, got := w.Up()
			if late := got.Sub(since); gotUp != up || late < 0 || late > slack {
				t.Errorf("%s: up %t since %v after the start, want %t since %v", when, gotUp, got.Sub(start), up, since.Sub(start))
			}
		}
		time.Sleep(time.Minute)
		want("never read", false, start, 0)

		d.Heal()
		healed := time.Now()
		next(t, w, 0)
		want("read", true, healed, 2*time.Second)
		_, since := w.Up()
		time.Sleep(time.Minute)
		newcomer := watch(t, s, driver.Key("a"))
		next(t, newcomer, 0)
		newcomer.Close()
		want("after a newcomer", true, since, 0)

		d.Cut()
		cut := time.Now()
		time.Sleep(time.Minute)
		want("cut", false, cut, 0)
		d.Heal()
		healed = time.Now()
		next(t, w, 0)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		want("back", true, healed, 2*time.Second)
	})
}
