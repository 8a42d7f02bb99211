package cluster

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// dataEnv names the directory below which servers keep their data, instead of
// the one for temporary files.
const dataEnv = "QUORATE_DATA"

func dataRoot() string { return cmp.Or(os.Getenv(dataEnv), os.TempDir()) }

// memoryRoot is a file system in memory that QUORATE_DATA may name: make test does.
const memoryRoot = "/dev/shm"

// dataName is the shared directory of all data directories.
const dataName = "data"

// sharedPath names a directory below parent that all test processes of this user
// share.
func sharedPath(parent, name string) string {
	return filepath.Join(parent, fmt.Sprintf("quorate-%d", os.Getuid()), name)
}

// sharedDir makes that directory if it is not there, and returns its path.
func sharedDir(parent, name string) (string, error) {
	dir := sharedPath(parent, name)
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
// process dies first, by the next process that makes one, below whichever root.
type dataDir struct {
	path string
	lock *os.File
}

func newDataDir(name string) (*dataDir, error) {
	if err := removeOrphansElsewhere(); err != nil {
		return nil, err
	}
	parent, err := sharedDir(dataRoot(), dataName)
	if err != nil {
		return nil, err
	}
	registry, err := lockRegistry(parent)
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

// lockRegistry locks a directory of data directories: none of them is without its
// lock while the registry's is held.
func lockRegistry(parent string) (*os.File, error) {
	return lockFile(filepath.Join(parent, "registry.lock"), true)
}

// removeOrphansElsewhere removes what processes left that kept their data below
// another root than this one does.
func removeOrphansElsewhere() error {
	for _, root := range []string{os.TempDir(), memoryRoot} {
		parent := sharedPath(root, dataName)
		if _, err := os.Stat(parent); root == dataRoot() || err != nil {
			continue // It is removed below that root, or nobody was there.
		}
		registry, err := lockRegistry(parent)
		if err != nil {
			return err
		}
		err = removeOrphans(parent)
		registry.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// removeOrphans removes the data directories whose processes have ended. The
// registry is locked.
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
	// The owner may have removed its lock while another process opened that, which
	// then takes the directory for an orphan.
	if err := os.Remove(d.lock.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing a data directory: %w", err)
	}
	return nil
}
