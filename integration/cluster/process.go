package cluster

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
)

// A forker starts processes that die with this one. On Linux the kernel kills
// a child when the *thread* that forked it ends, so all are forked by one
// goroutine that keeps its thread until the children are gone.
type forker struct {
	jobs chan func()
	done chan struct{}
}

func newForker() *forker {
	f := &forker{jobs: make(chan func()), done: make(chan struct{})}
	go func() {
		defer close(f.done)
		runtime.LockOSThread() // Never unlocked: the thread ends with the goroutine.
		for job := range f.jobs {
			job()
		}
	}()
	return f
}

// close ends the forker; its children must be gone.
func (f *forker) close() {
	close(f.jobs)
	<-f.done
}

// process is a running server.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{} // Closed when it is gone and reaped.
	err    error         // How it ended; read after exited.
	mu     sync.Mutex    // Held while signalling, so that only a live child is.
	gone   bool
}

// start starts cmd with its output appended to the file named log. Of
// cmd.SysProcAttr it keeps the Credential.
func (f *forker) start(cmd *exec.Cmd, log string) (*process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the log: %w", err)
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	attr := dieWithParent()
	if cmd.SysProcAttr != nil {
		attr.Credential = cmd.SysProcAttr.Credential
	}
	cmd.SysProcAttr = attr
	started := make(chan error, 1)
	f.jobs <- func() { started <- cmd.Start() }
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", cmd.Path, err)
	}
	p := &process{cmd: cmd, exited: make(chan struct{})}
	go func() {
		p.err = p.wait()
		close(p.exited)
	}()
	return p, nil
}

func (p *process) wait() error {
	err := p.cmd.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gone = true
	return err
}

// signal sends sig; to a process that is gone it does nothing.
func (p *process) signal(sig syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone {
		return nil
	}
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signalling process %d: %w", p.cmd.Process.Pid, err)
	}
	return nil
}

func (p *process) alive() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// tail returns the end of a log, for error messages.
func tail(log string) string {
	const most = 2000
	file, err := os.Open(log)
	if err != nil {
		return err.Error()
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil && info.Size() > most {
		if _, err := file.Seek(-most, io.SeekEnd); err != nil {
			return err.Error()
		}
	}
	text, err := io.ReadAll(file)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
