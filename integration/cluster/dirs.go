package cluster

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// dataEnv names the directory below which servers keep their data, instead of
// the one for temporary files.
const dataEnv = "QUORATE_DATA"

func dataRoot() string { return cmp.Or(os.Getenv(dataEnv), os.TempDir()) }

// sharedDir is a directory that all test processes of this user share.
func sharedDir(parent, name string) (string, error) {
	dir := filepath.Join(parent, fmt.Sprintf("quorate-%d", os.Getuid()), name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("making a shared directory: %w", err)
	}
	return dir, nil
}

// lockFile opens and locks a file; the lock goes when the file is closed or
// the process ends. Without wait, a lock that another holds is
// syscall.EWOULDBLOCK.
func lockFile(path string, wait bool) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the lock: %w", err)
	}
	how := syscall.LOCK_EX
	if !wait {
		how |= syscall.LOCK_NB
	}
	for {
		err = syscall.Flock(int(file.Fd()), how)
		if err != syscall.EINTR { //nolint:errorlint // Flock returns an Errno, bare.
			break
		}
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	return file, nil
}

// dataDir is a directory of this process. It is removed by close, or, if the
// process dies first, by the next process that makes one.
type dataDir struct {
	path string
	lock *os.File
}

func newDataDir(name string) (*dataDir, error) {
	parent, err := sharedDir(dataRoot(), "data")
	if err != nil {
		return nil, err
	}
	// No directory is without its lock while this one is held.
	registry, err := lockFile(filepath.Join(parent, "registry.lock"), true)
	if err != nil {
		return nil, err
	}
	defer registry.Close()
	if err := removeOrphans(parent); err != nil {
		return nil, err
	}
	path, err := os.MkdirTemp(parent, name+"-")
	if err != nil {
		return nil, fmt.Errorf("making a data directory: %w", err)
	}
	lock, err := lockFile(path+".lock", false)
	if err != nil {
		return nil, err
	}
	return &dataDir{path: path, lock: lock}, nil
}

func removeOrphans(parent string) error {
	locks, err := filepath.Glob(filepath.Join(parent, "*-*.lock"))
	if err != nil {
		return fmt.Errorf("looking for orphans: %w", err)
	}
	for _, path := range locks {
		lock, err := lockFile(path, false)
		if err != nil {
			continue // Its owner lives.
		}
		orphan := &dataDir{path: strings.TrimSuffix(path, ".lock"), lock: lock}
		if err := orphan.close(); err != nil {
			return err
		}
	}
	return nil
}

func (d *dataDir) close() error {
	defer d.lock.Close()
	if err := os.RemoveAll(d.path); err != nil {
		return fmt.Errorf("removing a data directory: %w", err)
	}
	if err := os.Remove(d.lock.Name()); err != nil {
		return fmt.Errorf("removing a data directory: %w", err)
	}
	return nil
}
