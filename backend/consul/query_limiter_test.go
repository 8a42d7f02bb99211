package consul

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestLimitIsRestored: a call that waited for a slow dial, and took a blocking
// query's right for that, must not leave the driver with one query fewer for
// good.
func TestLimitIsRestored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := queryLimiter{max: 4}
		var ends []context.Context
		acquire := func() bool {
			one, ctx := q.acquire(t.Context())
			if one != nil {
				ends = append(ends, ctx)
			}
			return one != nil
		}
		for range 3 {
			if !acquire() {
				t.Fatal("no right below the limit")
			}
		}
		if !q.lower() || acquire() {
			t.Error("a right is to be had though the limit was lowered to what is open")
		}
		reclaimed := 0
		for _, ctx := range ends {
			if errors.Is(context.Cause(ctx), errReclaimed) {
				reclaimed++
			}
		}
		if reclaimed != 1 {
			t.Errorf("%d queries were told to end", reclaimed)
		}
		time.Sleep(limitRestored - time.Second)
		if acquire() {
			t.Error("the limit was restored early")
		}
		time.Sleep(time.Second)
		if !acquire() || acquire() {
			t.Error("after a while not exactly one right more")
		}
		time.Sleep(limitRestored)
		if !acquire() || acquire() {
			t.Error("the limit was not restored in full")
		}
		time.Sleep(time.Hour)
		if acquire() {
			t.Error("there are more rights than at first")
		}
	})
}
