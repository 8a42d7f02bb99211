package backend

import (
	"context"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/internal/trust"
)

type idleLease struct{ ttl time.Duration }

func (l idleLease) ID() string                                   { return "idle" }
func (l idleLease) TTL() time.Duration                           { return l.ttl }
func (l idleLease) Lost() <-chan struct{}                        { return nil }
func (l idleLease) Renew(context.Context) (time.Duration, error) { return l.ttl, nil }
func (l idleLease) Revoke(context.Context) error                 { return nil }

// TestAStepOfTheWallClockDoesNotPermitARevoke is inside the package since no
// bubble can step one of its clocks.
func TestAStepOfTheWallClockDoesNotPermitARevoke(t *testing.T) {
	// Catches: the expiry taken from whichever clock is ahead. That is right
	// for ending trust, but wrong for pulling the keys from under who has not
	// stopped yet: the store has not seen the wall clock step.
	synctest.Test(t, func(t *testing.T) {
		start := trust.Now()
		wall := reflect.ValueOf(&start).Elem().FieldByName("wall").Addr().UnsafePointer()
		*(*int64)(wall) -= int64(time.Hour) // the clock has stepped since
		s := newSession(idleLease{10 * time.Second}, start, time.Second)
		if s.Valid() {
			t.Error("trusted although an hour has passed by the wall clock")
		}
		if got := s.expiry(); got != 10*time.Second {
			t.Errorf("the lease may be taken for expired in %v, want 10s", got)
		}
		<-s.Context().Done()
	})
}
