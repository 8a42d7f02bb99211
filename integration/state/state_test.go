// Package state tests what of examples/state needs more than a store: a
// database, and those who read manifests.
package state

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

const patience = time.Minute

// build builds one of the examples in examples/state.
func build(t *testing.T, name string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), name)
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./state/"+name)
	cmd.Dir = filepath.Join("..", "..", "examples")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building examples/state/%s: %v\n%s", name, err, out)
	}
	return program
}

// process is a program that runs, and what it says.
type process struct {
	cmd   *exec.Cmd
	lines chan string
}

func start(t *testing.T, program string, args ...string) *process {
	t.Helper()
	p := &process{exec.Command(program, args...), make(chan string, 100_000)}
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.lines)
		for scan := bufio.NewScanner(out); scan.Scan(); {
			p.lines <- scan.Text()
		}
	}()
	t.Cleanup(func() { p.signal(syscall.SIGKILL) })
	return p
}

func (p *process) signal(sig syscall.Signal) { _ = p.cmd.Process.Signal(sig) }

// line returns the next line, and false when there is none any more.
func (p *process) line(t *testing.T) (string, bool) {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case line, more := <-p.lines:
		return line, more
	case <-timer.C:
		t.Fatal("no line comes")
		return "", false
	}
}

// ends waits until the program has ended, and returns how; its lines have been
// read to the end.
func (p *process) ends(t *testing.T) error {
	t.Helper()
	timer := time.AfterFunc(patience, func() { _ = p.cmd.Process.Kill() })
	defer timer.Stop()
	return p.cmd.Wait()
}

func scan(line, format string, into ...any) bool {
	n, err := fmt.Sscanf(line, format, into...)
	return err == nil && n == len(into)
}
