package main

import (
	"strings"
	"testing"

	"github.com/quorate/quorate/examples/internal/etcdserver"
	"github.com/quorate/quorate/examples/internal/program"
)

// aeon is a window that does not end while a test runs.
const aeon = "876000h"

func TestQuota(t *testing.T) {
	exe := program.Build(t)
	t.Run("alone", func(t *testing.T) {
		p := program.Start(t, exe, "-limit", "2", "-requests", "3", "-window", aeon)
		for _, want := range []string{"request 1: granted", "request 2: granted", "request 3: refused for "} {
			if line, _ := p.Line(t); !strings.HasPrefix(line, want) {
				t.Errorf("%q, want %q", line, want)
			}
		}
		if err := p.Wait(t); err != nil {
			t.Error(err)
		}
	})
	t.Run("shared", func(t *testing.T) { shared(t, exe) })
	t.Run("bad-arguments", func(t *testing.T) {
		for _, args := range [][]string{{"-store", "nonsense"}, {"-limit", "0"}, {"-window", "1ms"}} {
			if err := program.Start(t, exe, args...).Wait(t); err == nil {
				t.Errorf("%q: no error", args)
			}
		}
	})
}

// shared: three processes at once are granted the limit together. They ask for
// more than there is, so nothing that one of them reserves is left.
func shared(t *testing.T, exe string) {
	server, err := etcdserver.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	var all []*program.Process
	for range 3 {
		all = append(all, program.Start(t, exe, "-limit", "50", "-requests", "60", "-window", aeon, "-store", server.URL))
	}
	granted, refused := 0, 0
	for _, p := range all {
		for line, more := p.Line(t); more; line, more = p.Line(t) {
			if strings.HasSuffix(line, ": granted") {
				granted++
			} else {
				refused++
			}
		}
		if err := p.Wait(t); err != nil {
			t.Error(err)
		}
	}
	if granted != 50 || refused != 130 {
		t.Errorf("%d granted, %d refused, want 50 and 130", granted, refused)
	}
}
