package main

import (
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/examples/internal/etcdserver"
	"github.com/quorate/quorate/examples/internal/program"
	"github.com/quorate/quorate/examples/state/internal/values"
)

func TestStandby(t *testing.T) {
	exe := program.Build(t)
	t.Run("killed", func(t *testing.T) { killed(t, exe) })
	t.Run("bad-arguments", func(t *testing.T) {
		for _, args := range [][]string{{"-store", "nonsense"}, {"-listen", "nowhere"}} {
			if err := program.Start(t, exe, args...).Wait(t); err == nil {
				t.Errorf("%q: no error", args)
			}
		}
	})
}

// killed: the primary is killed, again and again, each time with a new process
// in its place. What it had acknowledged is there.
func killed(t *testing.T, exe string) {
	server, err := etcdserver.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	start := func() *values.Process {
		t.Helper()
		return values.Start(t, exe, "-store", server.URL, "-ttl", "2s")
	}
	leads := func(p *values.Process) {
		t.Helper()
		if line, _ := p.Line(t); !strings.HasPrefix(line, "primary, term ") {
			t.Fatalf("the line is %q", line)
		}
	}
	acked := values.Acked{}
	primary := start()
	leads(primary)
	standby := start()
	for range 3 {
		standby.Put(t, acked, 20) // which sends it on
		primary.Kill()
		began := time.Now()
		leads(standby)
		standby.Have(t, acked)
		t.Logf("the standby had all %v after the kill", time.Since(began).Round(time.Millisecond))
		primary, standby = standby, start()
	}
	// Told to stop, it hands over, and nobody waits for a TTL.
	standby.Put(t, acked, 20)
	primary.Stop()
	leads(standby)
	standby.Have(t, acked)
	if err := primary.Wait(t); err != nil {
		t.Error(err)
	}
}
