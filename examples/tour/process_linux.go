package main

import "syscall"

// processAttributes keeps a worker out of the terminal's foreground group, so
// that an interrupt reaches the tour alone, which then ends the workers. Should
// the tour itself be killed, the kernel ends them at once, a paused one too.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
