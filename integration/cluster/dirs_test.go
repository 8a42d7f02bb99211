package cluster

import (
	"errors"
	"io/fs"
	"os"
	"testing"
)

// TestOrphans: the next process removes the data of one that has ended, whichever
// root either uses, and leaves that of one that runs.
func TestOrphans(t *testing.T) {
	own, temp := t.TempDir(), t.TempDir()
	t.Setenv("TMPDIR", temp)
	roots := []string{own, temp}
	if _, err := os.Stat(memoryRoot); err == nil {
		roots = append(roots, memoryRoot)
	}
	newIn := func(root string) *dataDir {
		t.Helper()
		t.Setenv(dataEnv, root)
		dir, err := newDataDir("test")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = dir.close() })
		return dir
	}
	for _, root := range roots {
		running, ended := newIn(root), newIn(root)
		if err := ended.lock.Close(); err != nil { // as the end of a process does
			t.Fatal(err)
		}
		newIn(own)
		if _, err := os.Stat(ended.path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: what an ended process left: %v, want it gone", root, err)
		}
		if _, err := os.Stat(running.path); err != nil {
			t.Errorf("%s: what a running process has: %v", root, err)
		}
	}
}

// TestOrphanOfAnOwnerThatRemovesIt: two processes may remove the same directory.
func TestOrphanOfAnOwnerThatRemovesIt(t *testing.T) {
	t.Setenv(dataEnv, t.TempDir())
	dir, err := newDataDir("test")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(dir.lock.Name()); err != nil {
		t.Fatal(err)
	}
	if err := dir.close(); err != nil {
		t.Errorf("close = %v", err)
	}
}
