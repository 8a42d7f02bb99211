//go:build !linux

package cluster

import "syscall"

// dieWithParent gives the child a group of its own; where the kernel cannot
// kill it with its parent, only Close does.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}

// isStopped reports that a process has stopped once it was sent the signal.
func isStopped(int) (bool, error) { return true, nil }
