package main

import (
	"testing"
	"time"

	"github.com/quorate/quorate/examples/internal/etcdserver"
	"github.com/quorate/quorate/examples/internal/program"
	"github.com/quorate/quorate/examples/state/internal/values"
)

func TestMemory(t *testing.T) {
	exe := program.Build(t)
	t.Run("killed", func(t *testing.T) { killed(t, exe) })
	t.Run("bad-arguments", func(t *testing.T) {
		for _, args := range [][]string{{"-store", "nonsense"}, {"-listen", "nowhere"}, {"-copies", "0"}, {"-shards", "-1"}} {
			if err := program.Start(t, exe, args...).Wait(t); err == nil {
				t.Errorf("%q: no error", args)
			}
		}
	})
}

// killed: of three processes two are killed, one after the other, with a new
// one in place of the first. Each time all that was acknowledged is there.
func killed(t *testing.T, exe string) {
	server, err := etcdserver.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	start := func() *values.Process {
		t.Helper()
		return values.Start(t, exe, "-store", server.URL, "-ttl", "2s", "-shards", "4")
	}
	const keys = 40
	acked := values.Acked{}
	a, b, c := start(), start(), start()
	a.Put(t, acked, keys)
	a.Kill()
	began := time.Now()
	b.Have(t, acked)
	t.Logf("all that was acknowledged was there %v after a kill", time.Since(began).Round(time.Millisecond))
	b.Put(t, acked, keys) // every shard can be written, so has two copies again
	d := start()
	b.Kill()
	c.Have(t, acked)
	d.Put(t, acked, keys) // and again
	// Who is told to leave takes nothing along either.
	c.Stop()
	if err := c.Wait(t); err != nil {
		t.Error(err)
	}
	d.Have(t, acked)
}
