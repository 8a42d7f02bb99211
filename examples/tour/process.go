package main

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// worker is a worker process, as the tour sees it.
type worker struct {
	id    string
	cmd   *exec.Cmd
	stdin io.Closer // the worker ends when it is closed
	done  chan struct{}

	// As far as the stage has heard:
	exited  bool
	begun   int64               // the last add that it began; it adds 1, 2, 3 and so on
	counted int64               // the last add that was acknowledged to it
	sees    map[string]sighting // the other workers, by ID
}

// sighting is how a worker last saw another, and since when.
type sighting struct {
	state string
	at    time.Time
}

// startWorker starts this program again, as a worker. What it reports, its
// exit last, goes to reports, until nobody listens any more.
func startWorker(tk task, reports chan<- reported, deaf <-chan struct{}) (*worker, error) {
	arg, err := json.Marshal(tk)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	w := &worker{id: tk.ID, cmd: exec.Command(self), done: make(chan struct{}), sees: make(map[string]sighting)}
	w.cmd.Env = append(os.Environ(), taskEnv+"="+string(arg))
	w.cmd.Stderr = os.Stderr
	w.cmd.SysProcAttr = processAttributes()
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
		pass := func(e event) {
			select {
			case reports <- reported{e, w}:
			case <-deaf:
			}
		}
		for dec := json.NewDecoder(out); ; {
			var e event
			if dec.Decode(&e) != nil {
				break
			}
			pass(e)
		}
		_ = w.cmd.Wait() // how it ended is in the state
		pass(event{Kind: exited, Text: w.cmd.ProcessState.String()})
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
