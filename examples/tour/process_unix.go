//go:build unix && !linux

package main

import "syscall"

// processAttributes keeps a worker out of the terminal's foreground group, so
// that an interrupt reaches the tour alone, which then ends the workers.
func processAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
