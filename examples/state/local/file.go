package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
)

// file is what one slot has on the disk: a line for each write, which is
// acknowledged when it is on the disk.
type file struct {
	valid  func() bool // whether the slot is still this process's
	failed chan error  // when the disk has failed: what is on it is not known

	mu     sync.Mutex
	disk   *os.File
	values map[string]string
}

type line struct{ Key, Value string }

// errGone: the write may be there for whoever has the slot next, or may not.
var errGone = errors.New("the slot is not this process's any more")

// openFile reads a file, up to the last whole line: one that a crash has torn
// was not acknowledged. A file that is not there is an error: it was, when its
// slot was first served, so the disk is not the one that it was. The file is the slot's as long as valid says so.
func openFile(name string, valid func() bool) (*file, error) {
	disk, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	f := &file{valid: valid, failed: make(chan error, 1), disk: disk, values: map[string]string{}}
	whole := int64(0)
	for in := bufio.NewReader(disk); ; {
		text, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		var l line
		if err == nil {
			err = json.Unmarshal(text, &l)
		}
		if err != nil {
			disk.Close()
			return nil, fmt.Errorf("%s, at %d: %w", name, whole, err)
		}
		f.values[l.Key] = l.Value
		whole += int64(len(text))
	}
	err = disk.Truncate(whole)
	if err == nil {
		_, err = disk.Seek(whole, io.SeekStart)
	}
	if err != nil {
		disk.Close()
		return nil, err
	}
	return f, nil
}

// replace replaces a file as a whole, and is done when that is on the disk.
func replace(name string, content []byte) error {
	next, err := os.OpenFile(name+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(next, bytes.NewReader(content))
	if err = errors.Join(err, next.Sync(), next.Close()); err != nil {
		return err
	}
	if err := os.Rename(name+".new", name); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// put writes a value and returns once it is on the disk, and was so while the
// slot was this process's: whoever has it next reads the file after that.
func (f *file) put(key, value string) error {
	text, err := json.Marshal(line{key, value})
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.disk == nil || !f.valid() {
		return errGone
	}
	if _, err = f.disk.Write(append(text, '\n')); err == nil {
		err = f.disk.Sync()
	}
	if err != nil {
		f.fail(err)
		return err
	}
	f.values[key] = value
	if !f.valid() {
		return errGone
	}
	return nil
}

// fail ends the use of the file: after a failed sync nobody can say what is on
// the disk but who reads it again.
func (f *file) fail(err error) {
	f.disk.Close()
	f.disk = nil
	f.failed <- err
}

func (f *file) get(key string) (value string, found bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.disk == nil || !f.valid() {
		return "", false, errGone
	}
	value, found = f.values[key]
	return value, found, nil
}

func (f *file) len() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.values)
}

func (f *file) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.disk != nil {
		f.disk.Close()
		f.disk = nil
	}
}
