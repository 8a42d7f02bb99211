package consul

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quorate/quorate/backend/driver"
)

// refusing has the fake refuse each request of which refuse says so.
func (f *fake) refusing(refuse func(r *http.Request) bool) {
	f.setBefore(func(w http.ResponseWriter, r *http.Request, _ []byte) bool {
		if !refuse(r) {
			return false
		}
		http.Error(w, "rate limit exceeded, try again later or against a different server", http.StatusTooManyRequests)
		return true
	})
}

// TestARefusedPartIsAskedForAgainAlone: Catches a read of several keys that
// begins anew because the server refused one of its requests for load.
func TestARefusedPartIsAskedForAgainAlone(t *testing.T) {
	f := newFake(t)
	d := f.open(t, nil, nil)
	for _, key := range []string{"q/a", "q/b", "q/c"} {
		f.set(key, []byte(key))
	}
	var n atomic.Int64
	f.refusing(func(*http.Request) bool { return n.Add(1)%2 == 0 })
	read, err := d.Read(t.Context(), driver.Key("q/a"), driver.Key("q/b"), driver.Key("q/c"))
	if err != nil || len(read) != 3 || string(read[2][0].Value) != "q/c" {
		t.Fatalf("Read = %v, %v", read, err)
	}
	for key, most := range map[string]int{"q/a": 2, "q/b": 2, "q/c": 2} {
		if asked, _, _ := f.counts("GET /v1/kv/" + key + "?"); asked > most {
			t.Errorf("%s was asked for %d times, at most %d are needed", key, asked, most)
		}
	}
}

// TestLoadSlowsTheWholeDriver: Catches calls that each keep their own pace
// against a server that refuses all, and renewals that wait behind them.
func TestLoadSlowsTheWholeDriver(t *testing.T) {
	f := newFake(t)
	d := f.open(t, nil, nil)
	f.refusing(func(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/v1/kv/") })
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	ended := make(chan error, 30)
	for range cap(ended) {
		go func() {
			for ctx.Err() == nil {
				_, _ = d.Read(ctx, driver.Key("q/a"))
			}
			_, err := d.Read(ctx, driver.Key("q/a"))
			ended <- err
		}()
	}
	for range cap(ended) {
		if err := <-ended; !errors.Is(err, driver.ErrUnavailable) {
			t.Errorf("Read = %v, want ErrUnavailable", err)
		}
	}
	if asked, _, _ := f.counts("GET /v1/kv/"); asked > 60 {
		t.Errorf("%d requests in 2 s, all of which were refused", asked)
	}
	began := time.Now()
	_, _ = d.Grant(t.Context(), time.Minute)
	if asked, _, _ := f.counts("PUT /v1/session/create"); asked != 1 || time.Since(began) > time.Second {
		t.Errorf("a session was asked for %d times, after %v", asked, time.Since(began))
	}
}
