package backend_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/memory"
)

func TestBadOptionsAreNamed(t *testing.T) {
	// Catches: a check of withDefaults left out.
	for name, o := range map[string]backend.Options{
		"Options.Namespace slash":     {Namespace: "/a"},
		"Options.Namespace empty":     {Namespace: "a//b"},
		"Options.Namespace dots":      {Namespace: "a/.."},
		"Options.Namespace bytes":     {Namespace: "a b"},
		"Options.Namespace long":      {Namespace: strings.Repeat("n", 65)},
		"Options.TTL short":           {TTL: time.Second - 1},
		"Options.TTL negative":        {TTL: -time.Minute},
		"Options.Margin negative":     {Margin: -1},
		"Options.Margin large":        {TTL: 4 * time.Second, Margin: 2*time.Second + 1},
		"Options.Margin default TTL":  {Margin: ttl/2 + 1},
		"Options.CallTimeout":         {CallTimeout: -1},
		"Options.CloseTimeout signed": {CloseTimeout: -time.Second},
	} {
		s, err := backend.New(&fake{}, &o)
		if s != nil {
			t.Errorf("%s: New gave a Store", name)
		}
		wantErr(t, err, backend.ErrInvalid)
		field, _, _ := strings.Cut(name, " ")
		if err != nil && !strings.Contains(err.Error(), field) {
			t.Errorf("%s: error %q does not name the field", name, err)
		}
	}
}

func TestGoodOptions(t *testing.T) {
	// Catches: a bound that is off by one.
	for _, o := range []*backend.Options{
		nil,
		{},
		{Namespace: strings.Repeat("n", 64)},
		{Namespace: "a/b-c._~"},
		{TTL: time.Second, Margin: time.Second / 2},
	} {
		if _, err := backend.New(&fake{}, o); err != nil {
			t.Errorf("New with %+v: %v", o, err)
		}
	}
	_, err := backend.New(nil, nil)
	wantErr(t, err, backend.ErrInvalid)
}

func TestDefaults(t *testing.T) {
	// Catches: a default that differs from what Options says.
	bubble(t, func(t *testing.T, _ *memory.Server) {
		var asked time.Duration
		l := newLease("l", ttl)
		s := over(t, &fake{
			grant: func(_ context.Context, ttl time.Duration) (driver.Lease, error) {
				asked = ttl
				return l, nil
			},
			read:  func(ctx context.Context, _ []driver.Target) ([][]driver.Entry, error) { return nil, silence(ctx) },
			close: silence,
		}, nil)
		if s.Namespace() != "quorate" {
			t.Errorf("Namespace %q", s.Namespace())
		}
		if s.Logger() != slog.Default() {
			t.Error("the logger is not slog.Default()")
		}
		if session := session(t, s); asked != 10*time.Second || session.Margin() != time.Second || session.TrustLeft() != 9*time.Second {
			t.Errorf("TTL asked for %v, margin %v, window %v", asked, session.Margin(), session.TrustLeft())
		}
		passed := since()
		_, _, err := s.Get(t.Context(), "k")
		wantErr(t, err, backend.ErrUnavailable)
		wantTime(t, "a call to a silent store ended", passed(), 5*time.Second)
		passed = since()
		_ = s.Close()
		wantTime(t, "Close of a silent store returned", passed(), 5*time.Second)
	})
}

func TestMarginFollowsTheTTLGranted(t *testing.T) {
	// Catches: a margin of the TTL asked for; the minimum left out; Options.Margin
	// ignored.
	for _, c := range []struct {
		options         backend.Options
		granted, margin time.Duration
	}{
		{backend.Options{}, 30 * time.Second, 3 * time.Second},
		{backend.Options{TTL: time.Second}, time.Second, 100 * time.Millisecond},
		{backend.Options{TTL: 500 * time.Second}, 500 * time.Second, 50 * time.Second},
		{backend.Options{TTL: 2 * time.Second, Margin: time.Second}, 3 * time.Second, time.Second},
	} {
		bubble(t, func(t *testing.T, _ *memory.Server) {
			s := over(t, granting(newLease("l", c.granted)), &c.options)
			if session := session(t, s); session.Margin() != c.margin || session.TTL() != c.granted || session.TrustLeft() != c.granted-c.margin {
				t.Errorf("granted %v: margin %v, TTL %v, window %v", c.granted, session.Margin(), session.TTL(), session.TrustLeft())
			}
		})
	}
}

func TestNewDoesNoIO(t *testing.T) {
	// Catches: a session granted, or anything read, before it is needed.
	bubble(t, func(t *testing.T, server *memory.Server) {
		s, _ := open(t, server, nil)
		time.Sleep(time.Hour)
		if stats := server.Stats(); stats != (memory.Stats{}) {
			t.Errorf("requests of a Store that nobody used: %+v", stats)
		}
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if stats := server.Stats(); stats != (memory.Stats{}) {
			t.Errorf("requests of a Store that nobody used, after Close: %+v", stats)
		}
	})
}
