package cluster

import "syscall"

// dieWithParent lets the kernel kill the child when this process is gone. A
// group of its own keeps the terminal's ^C from it: Close ends it in order.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
