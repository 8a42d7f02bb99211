package harness

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// taskEnv holds a task: a process of the test binary that finds it in its
// environment is no test, but does it.
const taskEnv = "QUORATE_TASK"

// Main is the TestMain of a package whose tests start processes: it runs the
// tests, or, in such a process, the task. A process whose task fails ends with
// code 1, and says why in its log.
func Main[T any](m *testing.M, do func(T, *slog.Logger) error) {
	arg := os.Getenv(taskEnv)
	if arg == "" {
		os.Exit(m.Run())
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	var task T
	err := json.Unmarshal([]byte(arg), &task)
	if err == nil {
		err = do(task, logger)
	}
	if err != nil {
		logger.Error("task", "error", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// ParentGone is closed when the process is told to end: when its standard
// input ends, with its parent at the latest.
func ParentGone() <-chan struct{} {
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _ = io.Copy(io.Discard, os.Stdin)
	}()
	return gone
}

// Process is a process of the test binary that does a task.
type Process struct {
	Log   string // the file that its standard error goes to
	cmd   *exec.Cmd
	stdin io.WriteCloser
	done  chan struct{}
	err   error // read after done
}

// StartProcess starts a process with its log in dir. End or Kill it.
func StartProcess(dir, name string, task any) (*Process, error) {
	arg, err := json.Marshal(task)
	if err != nil {
		return nil, fmt.Errorf("the task of %s: %w", name, err)
	}
	exe, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	p := &Process{Log: filepath.Join(dir, "log-"+name), done: make(chan struct{})}
	log, err := os.Create(p.Log)
	if err != nil {
		return nil, fmt.Errorf("the log of %s: %w", name, err)
	}
	defer log.Close()
	p.cmd = exec.Command(exe)
	p.cmd.Env = append(os.Environ(), taskEnv+"="+string(arg))
	p.cmd.Stderr = log
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// Tell writes a line to the process's standard input.
func (p *Process) Tell(line string) error {
	if _, err := io.WriteString(p.stdin, line+"\n"); err != nil {
		return fmt.Errorf("telling a process: %w", err)
	}
	return nil
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Kill kills the process with SIGKILL and waits until it is gone. The error is
// os.ErrProcessDone if the process had already ended.
func (p *Process) Kill() error {
	err := p.cmd.Process.Kill()
	<-p.done
	if err != nil {
		return fmt.Errorf("killing a process: %w", err)
	}
	// A signal also reaches a process that has ended and was not waited for.
	if status, _ := p.cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGKILL {
		return fmt.Errorf("killing a process (%v): %w", p.cmd.ProcessState, os.ErrProcessDone)
	}
	return nil
}

// Stop stops the process with SIGSTOP, and Resume lets it go on.
func (p *Process) Stop() error { return p.signal(syscall.SIGSTOP) }

// Resume lets a stopped process go on.
func (p *Process) Resume() error { return p.signal(syscall.SIGCONT) }

func (p *Process) signal(sig syscall.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil {
		return fmt.Errorf("signalling a process: %w", err)
	}
	return nil
}

// End tells the process to end, and returns how it did. One that takes longer
// than patience is killed, which is an error.
func (p *Process) End(patience time.Duration) error {
	_ = p.stdin.Close()
	return p.Await(patience)
}

// Await waits for the end of a process that ends by itself, and returns how it
// did. One that takes longer than patience is killed, which is an error.
func (p *Process) Await(patience time.Duration) error {
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	select {
	case <-p.done:
		return p.err
	case <-timeout.C:
		_ = p.Kill() // that it ended just now is no better
		return fmt.Errorf("killed: it had not ended after %v", patience)
	}
}

// Tail returns the last bytes of the process's log.
func (p *Process) Tail(n int) string {
	content, err := os.ReadFile(p.Log)
	if err != nil {
		return err.Error()
	}
	return string(content[max(0, len(content)-n):])
}
