package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/quorate/quorate/examples/internal/etcdserver"
	"github.com/quorate/quorate/examples/internal/program"
	"github.com/quorate/quorate/examples/state/internal/values"
)

const slots = 4

func TestLocal(t *testing.T) {
	exe := program.Build(t)
	t.Run("killed", func(t *testing.T) { killed(t, exe) })
	t.Run("away-too-long", func(t *testing.T) { awayTooLong(t, exe) })
	t.Run("bad-arguments", func(t *testing.T) {
		for _, args := range [][]string{{"-dir", t.TempDir(), "-store", "nonsense"}, {"-dir", t.TempDir(), "-id", ""}, {}, {"-dir", "/dev/null/x"}} {
			if err := program.Start(t, exe, args...).Wait(t); err == nil {
				t.Errorf("%q: no error", args)
			}
		}
	})
}

// hosts starts processes as on hosts of their own, with a disk each.
func hosts(t *testing.T, exe, away string) (start func(id, dir string) *values.Process) {
	t.Helper()
	server, err := etcdserver.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	return func(id, dir string) *values.Process {
		t.Helper()
		return values.Start(t, exe, "-store", server.URL, "-ttl", "2s", "-slots", fmt.Sprint(slots), "-away", away, "-id", id, "-dir", dir)
	}
}

// serves reads until the host has said that it serves n slots, and returns
// which, with the values in each.
func serves(t *testing.T, p *values.Process, n int) map[int]int {
	t.Helper()
	all := map[int]int{}
	for len(all) < n {
		line, more := p.Line(t)
		if !more {
			t.Fatal("it has ended")
		}
		var slot, token, count int
		if _, err := fmt.Sscanf(line, "serving slot %d, token %d, %d values", &slot, &token, &count); err == nil {
			all[slot] = count
		}
	}
	return all
}

// killed: a host that is away takes its slots out of service, and nobody serves
// less instead; when it is back it has them again, with all that it had
// acknowledged. That is also so where another machine comes with its volume.
func killed(t *testing.T, exe string) {
	start := hosts(t, exe, "10m")
	disk := t.TempDir()
	dir := func(name string) string { return filepath.Join(disk, name) }
	a := start("a", dir("a"))
	serves(t, a, slots)
	b := start("b", dir("b"))
	had := serves(t, b, slots/2) // which move from a to b
	acked := values.Acked{}
	a.Put(t, acked, 40)
	b.Kill()
	here := a.HaveOrFail(t, acked)
	if len(here) == 0 || len(here) == len(acked) {
		t.Errorf("with one of two hosts away %d of %d values can be read", len(here), len(acked))
	}
	check := func(p *values.Process) {
		t.Helper()
		values := 0
		for slot, n := range serves(t, p, slots/2) {
			if _, ok := had[slot]; !ok {
				t.Errorf("back, the host serves slot %d, which it did not have", slot)
			}
			values += n
		}
		if want := len(acked) - len(here); values != want {
			t.Errorf("back, the host has %d values, want %d", values, want)
		}
		a.Have(t, acked)
	}
	b = start("b", dir("b"))
	check(b)

	// The volume is attached to another machine.
	b.Kill()
	if err := os.Rename(dir("b"), dir("elsewhere")); err != nil {
		t.Fatal(err)
	}
	b = start("b", dir("elsewhere"))
	check(b)

	// A new host gets a share, and the data with it.
	c := start("c", dir("c"))
	for slot, n := range serves(t, c, 1) {
		if n == 0 {
			t.Errorf("slot %d came to the new host without its data", slot)
		}
	}
	c.Have(t, acked)
}

// awayTooLong: the slots of a host that is away for longer than it is waited
// for go to another, which does not serve them before it has the data.
func awayTooLong(t *testing.T, exe string) {
	start := hosts(t, exe, "1s")
	disk := t.TempDir()
	dir := func(name string) string { return filepath.Join(disk, name) }
	a := start("a", dir("a"))
	serves(t, a, slots)
	b := start("b", dir("b"))
	serves(t, b, slots/2)
	acked := values.Acked{}
	a.Put(t, acked, 40)
	b.Kill()
	for waiting := map[int]bool{}; len(waiting) < slots/2; {
		line, more := a.Line(t)
		if !more {
			t.Fatal("it has ended")
		}
		var slot int
		if n, _ := fmt.Sscanf(line, "slot %d waits for b, which has its data", &slot); n == 1 {
			waiting[slot] = true
		}
	}
	a.HaveOrFail(t, acked)
	start("b", dir("b"))
	a.Have(t, acked)
}

// TestFile: what was acknowledged is read again; a line that a crash has torn is
// not, and does not spoil the next; a file that should be there and is not, or
// that is damaged, is an error.
func TestFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "slot-1")
	valid := true
	open := func() *file {
		t.Helper()
		f, err := openFile(name, func() bool { return valid })
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	if _, err := openFile(name, nil); err == nil {
		t.Error("a file that is not there was opened")
	}
	if err := replace(name, nil); err != nil {
		t.Fatal(err)
	}
	f := open()
	for _, value := range []string{"1", "2"} {
		if err := f.put("x", value); err != nil {
			t.Fatal(err)
		}
	}
	valid = false
	if err := f.put("x", "3"); err == nil {
		t.Error("a write of who has the slot no more is acknowledged")
	}
	if _, _, err := f.get("x"); err == nil {
		t.Error("who has the slot no more reads")
	}
	f.close()
	valid = true
	torn, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := torn.WriteString(`{"Key":"x","Val`); err != nil {
		t.Fatal(err)
	}
	torn.Close()
	f = open()
	if err := f.put("y", "4"); err != nil {
		t.Fatal(err)
	}
	f.close()
	f = open()
	for key, want := range map[string]string{"x": "2", "y": "4"} {
		if value, found, err := f.get(key); value != want || !found || err != nil {
			t.Errorf("%s = %q, %v, %v, want %q", key, value, found, err, want)
		}
	}
	// The disk fails: the write is not acknowledged, and the file given up.
	f.disk.Close()
	if err := f.put("x", "5"); err == nil || len(f.failed) != 1 {
		t.Errorf("on a failed disk: %v, %d reports", err, len(f.failed))
	}
	if err := replace(name, []byte("nonsense\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := openFile(name, nil); err == nil {
		t.Error("a damaged file was opened")
	}
}
