package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// tidy runs go mod tidy on each module's packed copy, where the modules that
// it requires can be found, and brings go.mod and go.sum back into the tree,
// without the sums of unreleased modules.
func (s *stage) tidy(dirs []string) error {
	for _, dir := range dirs {
		fmt.Println("#", modulePath(dir))
		source := s.source(dir)
		for _, name := range []string{"go.mod", "go.sum"} {
			if err := os.Chmod(filepath.Join(source, name), 0o666); err != nil {
				return err
			}
		}
		if err := s.all(source, []string{"go", "mod", "tidy"}); err != nil {
			return err
		}
		for _, name := range []string{"go.mod", "go.sum"} {
			content, err := os.ReadFile(filepath.Join(source, name))
			if err != nil {
				return err
			}
			if name == "go.sum" {
				content = withoutOwn(content)
			}
			if err := replaceFile(filepath.Join(s.top, dir, name), content); err != nil {
				return err
			}
		}
	}
	return nil
}

// withoutOwn drops the go.sum lines of this repository's modules.
func withoutOwn(sums []byte) []byte {
	var kept []byte
	for line := range bytes.Lines(sums) {
		if !bytes.HasPrefix(line, []byte(root+" ")) && !bytes.HasPrefix(line, []byte(root+"/")) {
			kept = append(kept, line...)
		}
	}
	return kept
}

// replaceFile writes name if its content changes; an empty go.sum is none.
func replaceFile(name string, content []byte) error {
	old, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	switch {
	case bytes.Equal(old, content):
		return nil
	case len(content) == 0:
		return os.Remove(name)
	}
	fmt.Println("  changed", filepath.Base(name))
	return os.WriteFile(name, content, 0o666)
}
