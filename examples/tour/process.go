package main

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"syscall"
)

// worker is a worker process, as the tour sees it.
type worker struct {
	id    string
	cmd   *exec.Cmd
	stdin io.Closer // the worker ends when it is closed
	done  chan struct{}
}

// startWorker starts this program again, as a worker.
func startWorker(tk task, reports chan<- reported) (*worker, error) {
	arg, err := json.Marshal(tk)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	w := &worker{id: tk.ID, cmd: exec.Command(self), done: make(chan struct{})}
	w.cmd.Env = append(os.Environ(), taskEnv+"="+string(arg))
	w.cmd.Stderr = os.Stderr
	w.cmd.SysProcAttr = ownGroup() // an interrupt is for the tour to handle
	if w.stdin, err = w.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := w.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(w.done)
		for dec := json.NewDecoder(out); ; {
			var e event
			if dec.Decode(&e) != nil {
				break
			}
			select {
			case reports <- reported{e, w}:
			default: // the tour does not listen any more
			}
		}
		_ = w.cmd.Wait()
	}()
	return w, nil
}

func (w *worker) pid() int                        { return w.cmd.Process.Pid }
func (w *worker) signal(sig syscall.Signal) error { return w.cmd.Process.Signal(sig) }

// kill kills the worker, and waits until it is gone.
func (w *worker) kill() {
	_ = w.cmd.Process.Kill()
	_ = w.stdin.Close()
	<-w.done
}
