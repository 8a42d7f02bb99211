package lock_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/lock"
)

// TestAFunctionThatIgnoresItsContextIsTraced: Do waits for the function, and reports
// it after the margin and then each TTL.
func TestAFunctionThatIgnoresItsContextIsTraced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ttl = 10 * time.Second
		var overran []backend.BodyOverran
		store, err := memory.New(&backend.Options{
			TTL: ttl, Trace: &backend.Trace{BodyOverran: func(o backend.BodyOverran) { overran = append(overran, o) }},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		m, err := lock.NewMutex(store, "m", nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		returned := false
		err = m.Do(ctx, func(context.Context, *lock.Held) error {
			cancel()
			time.Sleep(ttl + ttl/2)
			returned = true
			return context.Canceled
		})
		if !errors.Is(err, context.Canceled) || !returned {
			t.Errorf("Do = %v, the function has returned: %t", err, returned)
		}
		if len(overran) != 2 || overran[0].Kind != backend.KindMutex || overran[0].Name != "m" || overran[1].For < ttl {
			t.Errorf("traced %+v, want two reports", overran)
		}
	})
}
