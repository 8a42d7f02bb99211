//go:build unix

package main

import "syscall"

// ownGroup keeps a worker out of the terminal's foreground group, so that an
// interrupt reaches the tour alone.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
