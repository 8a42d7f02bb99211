package cluster

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// dieWithParent lets the kernel kill the child when this process is gone. A
// group of its own keeps the terminal's ^C from it: Close ends it in order.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}

// isStopped reports whether all threads of a process have stopped. SIGSTOP alone
// does not say so: on a busy machine the process runs on until one of its threads
// gets the processor and sees the signal.
func isStopped(pid int) (bool, error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil {
		return false, err
	}
	for _, task := range tasks {
		stat, err := os.ReadFile(task)
		if os.IsNotExist(err) {
			continue // The thread has ended.
		}
		if err != nil {
			return false, err
		}
		// The state follows the name, which is in brackets and may have some itself.
		_, state, _ := bytes.Cut(stat[bytes.LastIndexByte(stat, ')'):], []byte(" "))
		if len(state) > 0 && state[0] != 'T' && state[0] != 'Z' {
			return false, nil
		}
	}
	return true, nil
}
