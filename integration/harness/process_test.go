package harness

import (
	"errors"
	"log/slog"
	"os"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	Main(m, func(stay bool, _ *slog.Logger) error {
		if stay {
			<-ParentGone()
		}
		return nil
	})
}

// TestKill: Kill tells a process that it has ended from one that had ended.
func TestKill(t *testing.T) {
	start := func(stay bool) *Process {
		t.Helper()
		p, err := StartProcess(t.TempDir(), "process", stay)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = p.Kill() })
		return p
	}
	p := start(true)
	if err := p.Kill(); err != nil {
		t.Errorf("Kill of a process that runs = %v", err)
	}
	if err := p.Kill(); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("a second Kill = %v, want os.ErrProcessDone", err)
	}
	p = start(false)
	if err := p.Await(time.Minute); err != nil {
		t.Fatalf("the process ended with %v", err)
	}
	if err := p.Kill(); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("Kill of a process that had ended = %v, want os.ErrProcessDone", err)
	}
}
