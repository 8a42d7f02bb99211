package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// bug is one file of the directory of bugs.
type bug struct {
	name    string
	what    string
	breaks  string
	command string
	fails   []string
	patch   []byte // the file as it is: git apply skips the header
}

// load reads all bugs of a directory, by name.
func load(dir string) ([]bug, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.patch"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("no bugs in %s", dir)
	}
	var all []bug
	var errs []error
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		b, err := parse(strings.TrimSuffix(filepath.Base(file), ".patch"), text)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", file, err))
		}
		all = append(all, b)
	}
	return all, errors.Join(errs...)
}

// parse reads the header of a bug.
func parse(name string, text []byte) (bug, error) {
	b := bug{name: name, patch: text}
	header, diff, found := strings.Cut("\n"+string(text), "\n--- ")
	if !found || !strings.Contains(diff, "\n@@ ") {
		return b, errors.New("there is no unified diff in it")
	}
	var fails string
	fields := map[string]*string{"Bug": &b.what, "Breaks": &b.breaks, "Test": &b.command, "Fails": &fails}
	var last *string
	for line := range strings.Lines(header) {
		line = strings.TrimRight(line, "\n")
		key, value, ok := strings.Cut(line, ": ")
		switch field := fields[key]; {
		case line == "" || strings.HasPrefix(line, "diff --git ") || strings.HasPrefix(line, "index "):
			last = nil
		case strings.HasPrefix(line, " ") && last != nil:
			*last += " " + strings.TrimSpace(line)
		case !ok || field == nil:
			return b, fmt.Errorf("%q is no header", line)
		case *field != "":
			return b, fmt.Errorf("%s is there twice", key)
		default:
			*field, last = strings.TrimSpace(value), field
		}
	}
	for _, key := range []string{"Bug", "Breaks", "Test", "Fails"} {
		if *fields[key] == "" {
			return b, fmt.Errorf("%s is missing", key)
		}
	}
	for test := range strings.FieldsSeq(fails) {
		if !strings.HasPrefix(test, "Test") {
			return b, fmt.Errorf("%q is not the name of a test", test)
		}
		b.fails = append(b.fails, test)
	}
	_, err := arguments(b.command, b.fails)
	return b, err
}
