package cluster

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"time"
)

// cacheDir is where programs are built to: it outlives a checkout.
func cacheDir(name string) (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("looking for the cache directory: %w", err)
	}
	dir = filepath.Join(dir, "quorate", name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("making the cache directory: %w", err)
	}
	return dir, nil
}

// moduleDir is the directory of the integration module: servers are built
// from its source, at the versions of its go.mod. A program that was built with
// -trimpath does not know its source; it has to run inside the module, as tests do.
func moduleDir() (string, error) {
	if _, file, _, ok := runtime.Caller(0); ok && filepath.IsAbs(file) {
		return filepath.Dir(filepath.Dir(file)), nil
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "cluster", "build.go")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("the source of the test servers is not known: the program was built with -trimpath and runs outside the integration module")
		}
	}
}

// EtcdProgram builds cmd/etcdnode, unless it is up to date, and returns the
// program's path. It looks once per process.
func EtcdProgram() (string, error) { return etcdProgram() }

var etcdProgram = sync.OnceValues(func() (string, error) {
	module, err := moduleDir()
	if err != nil {
		return "", err
	}
	dir, err := cacheDir("etcdnode")
	if err != nil {
		return "", err
	}
	lock, err := lockFile(filepath.Join(dir, "build.lock"), true)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	// The go command knows best whether there is anything to do, and then this
	// is a matter of a second. It must not overwrite what another process runs.
	built := filepath.Join(dir, "build-"+fingerprint([]byte(module)))
	if err := goBuild(module, built, os.Environ(), "./cmd/etcdnode"); err != nil {
		return "", err
	}
	return keep(built, filepath.Join(dir, "etcdnode-"))
})

// goBuild builds pkg of the module in dir.
func goBuild(dir, program string, env []string, pkg string, flags ...string) error {
	// -trimpath, so that what was compiled serves all clones.
	cmd := exec.Command("go", append(append([]string{"build", "-trimpath", "-o", program}, flags...), pkg)...)
	cmd.Dir, cmd.Env = dir, env
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w\n%s", pkg, err, out)
	}
	return nil
}

// keep copies a program to a name that says its content and returns that.
// What was not used for a week is removed.
func keep(program, prefix string) (string, error) {
	content, err := os.ReadFile(program)
	if err != nil {
		return "", fmt.Errorf("reading a built program: %w", err)
	}
	kept := prefix + fingerprint(content)
	now := time.Now()
	if os.Chtimes(kept, now, now) != nil {
		if err := os.WriteFile(kept+".new", content, 0o755); err != nil {
			return "", fmt.Errorf("keeping a built program: %w", err)
		}
		if err := os.Rename(kept+".new", kept); err != nil {
			return "", fmt.Errorf("keeping a built program: %w", err)
		}
	}
	all, err := filepath.Glob(prefix + "*")
	if err != nil {
		return "", fmt.Errorf("looking for old programs: %w", err)
	}
	for _, old := range all {
		if info, err := os.Stat(old); err == nil && now.Sub(info.ModTime()) > 7*24*time.Hour {
			os.Remove(old)
		}
	}
	return kept, nil
}

func fingerprint(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:6])
}
