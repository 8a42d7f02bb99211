package cluster

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
)

// consulVersion is what tools/consul/go.mod builds.
const consulVersion = "1.22.5"

// ConsulProgram returns the path of Consul: what QUORATE_CONSUL names, or what
// is in PATH, or what was built before, or what it builds now, in several
// minutes and with up to 4 GB of memory. It looks once per process.
func ConsulProgram() (string, error) { return consulProgram() }

var consulProgram = sync.OnceValues(func() (string, error) {
	if named := os.Getenv("QUORATE_CONSUL"); named != "" {
		program, err := exec.LookPath(named)
		if err != nil {
			return "", fmt.Errorf("QUORATE_CONSUL: %w", err)
		}
		return program, nil
	}
	if program, err := exec.LookPath("consul"); err == nil {
		return program, nil
	}
	dir, err := cacheDir("consul-" + consulVersion)
	if err != nil {
		return "", err
	}
	program := filepath.Join(dir, "consul")
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	lock, err := lockFile(filepath.Join(dir, "build.lock"), true)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if _, err := os.Stat(program); err == nil {
		return program, nil // Another process built it meanwhile.
	}
	module, err := moduleDir()
	if err != nil {
		return "", err
	}
	env := append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=")
	temp := program + ".new"
	if err := goBuild(filepath.Join(module, "tools", "consul"), temp, env,
		"github.com/hashicorp/consul", "-ldflags", "-s -w"); err != nil {
		return "", err
	}
	if err := os.Rename(temp, program); err != nil {
		return "", fmt.Errorf("keeping a built program: %w", err)
	}
	return program, nil
})
