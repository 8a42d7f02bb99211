package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
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

// signal sends sig; to a process that is gone it does nothing. Its children are
// stopped, resumed and killed with it, and signal returns when those killed are
// gone: PostgreSQL starts on no memory that an old child still has.
func (p *process) signal(sig syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone {
		return nil
	}
	first := sig
	if sig == syscall.SIGKILL {
		first = syscall.SIGSTOP // so that it starts no other child
	}
	if err := p.send(first); err != nil {
		return err
	}
	if sig != syscall.SIGKILL && sig != syscall.SIGSTOP && sig != syscall.SIGCONT {
		return nil
	}
	family := children(p.cmd.Process.Pid)
	for _, child := range family {
		if err := syscall.Kill(child, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("signalling process %d: %w", child, err)
		}
	}
	if sig != syscall.SIGKILL {
		return nil
	}
	if err := p.send(sig); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	return poll(ctx, func() (bool, error) { return !slices.ContainsFunc(family, runs), nil })
}

func (p *process) send(sig syscall.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signalling process %d: %w", p.cmd.Process.Pid, err)
	}
	return nil
}

// children returns the processes that a process has started.
func children(parent int) (all []int) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		panic(err) // of a pattern that is right
	}
	for _, name := range stats {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if _, of := stat(pid); err == nil && of == parent {
			all = append(all, pid)
		}
	}
	return all
}

// inhabited reports whether a process has a directory as its working directory,
// as PostgreSQL's have that of their data.
func inhabited(dir string) bool {
	links, err := filepath.Glob("/proc/[0-9]*/cwd")
	if err != nil {
		panic(err) // of a pattern that is right
	}
	return slices.ContainsFunc(links, func(link string) bool {
		at, err := os.Readlink(link)
		return err == nil && at == dir
	})
}

// runs reports whether a process has not ended, reaped or not.
func runs(pid int) bool {
	state, _ := stat(pid)
	return state != "" && state != "Z" && state != "X"
}

// stat returns a process's state and its parent; empty if there is none.
func stat(pid int) (state string, parent int) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", 0
	}
	_, rest, _ := strings.Cut(string(content), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 2 {
		return "", 0
	}
	parent, _ = strconv.Atoi(fields[1])
	return fields[0], parent
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
