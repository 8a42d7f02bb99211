package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// copied is a copy of the tree.
type copied struct {
	dir string
	// broken: a patch could not be taken out again, so that the copy is of no
	// use any more.
	broken error
}

// newCopy copies the files below top that git tracks to dir, whatever was
// there. It is the same directory each time, so that the go command finds in
// its cache what it has compiled before.
func newCopy(ctx context.Context, top, dir string) (*copied, error) {
	list := exec.CommandContext(ctx, "git", "ls-files", "-z")
	list.Dir = top
	list.Stderr = os.Stderr
	names, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("git ls-files: %w", err)
	}
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(names), "\x00"), "\x00") {
		err := copyFile(filepath.Join(dir, name), filepath.Join(top, name))
		if err != nil && !os.IsNotExist(err) { // deleted, but not from the index
			return nil, err
		}
	}
	return &copied{dir: dir}, nil
}

func copyFile(to, from string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, info.Mode().Perm())
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}

func (c *copied) remove() { _ = os.RemoveAll(c.dir) }

// apply puts a bug into the copy.
func (c *copied) apply(ctx context.Context, b bug) error {
	if c.broken != nil {
		return c.broken
	}
	if err := c.git(ctx, b.patch, "apply"); err != nil {
		return fmt.Errorf("the patch no longer applies: %w", err)
	}
	return nil
}

// undo takes it out again.
func (c *copied) undo(ctx context.Context, b bug) error {
	if err := c.git(context.WithoutCancel(ctx), b.patch, "apply", "--reverse"); err != nil {
		c.broken = fmt.Errorf("the copy still has the bug %s: %w", b.name, err)
	}
	return c.broken
}

func (c *copied) git(ctx context.Context, stdin []byte, args ...string) error {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = c.dir
	cmd.Stdin = bytes.NewReader(stdin)
	// Inside a repository git apply would leave alone, without a word, what
	// that does not track: it must find none.
	cmd.Env = append(os.Environ(), "GIT_CEILING_DIRECTORIES="+filepath.Dir(c.dir))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("git %s: %w: %s", args[0], err, bytes.TrimSpace(out))
	}
	return nil
}
