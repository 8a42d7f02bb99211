// Package program runs the examples in tests, as a user would: built, with
// flags, and read line by line.
package program

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long a program may take for a line, or to end.
const patience = 30 * time.Second

// Build builds the program in the directory of the test.
func Build(t testing.TB) string {
	t.Helper()
	exe := filepath.Join(t.TempDir(), "program")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", exe, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return exe
}

// Process is a program that runs.
type Process struct {
	cmd   *exec.Cmd
	lines chan string
	ended chan struct{}
	err   error
}

// Start starts a program, which is killed when the test ends.
func Start(t testing.TB, exe string, args ...string) *Process {
	t.Helper()
	p := &Process{cmd: exec.Command(exe, args...), lines: make(chan string, 10_000), ended: make(chan struct{})}
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var reading sync.WaitGroup
	reading.Go(func() {
		defer close(p.lines)
		for scan := bufio.NewScanner(out); scan.Scan(); {
			p.lines <- scan.Text()
		}
	})
	go func() {
		defer close(p.ended)
		reading.Wait()
		p.err = p.cmd.Wait()
	}()
	t.Cleanup(p.Kill)
	return p
}

// Line returns the next line, and false when there is none any more.
func (p *Process) Line(t testing.TB) (string, bool) {
	t.Helper()
	select {
	case line, ok := <-p.lines:
		return line, ok
	case <-time.After(patience):
		t.Fatal("no line comes")
		return "", false
	}
}

// Wait returns what the program ended with.
func (p *Process) Wait(t testing.TB) error {
	t.Helper()
	select {
	case <-p.ended:
		return p.err
	case <-time.After(patience):
		t.Fatal("it does not end")
		return nil
	}
}

// Stop tells the program to end.
func (p *Process) Stop() { _ = p.cmd.Process.Signal(syscall.SIGTERM) }

// Kill kills the program and waits until it is gone.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}
