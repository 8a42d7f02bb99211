package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPicturesAreDrawn: docs/pictures has what this program draws, and nothing
// else, and all of it is well-formed.
func TestPicturesAreDrawn(t *testing.T) {
	files, err := os.ReadDir("../" + dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if pictures[f.Name()] == nil {
			t.Errorf("docs/pictures has %s, which no function draws", f.Name())
		}
	}
	for name, draw := range pictures {
		want := draw()
		got, err := os.ReadFile(filepath.Join("..", dir, name))
		if err != nil || string(got) != want {
			t.Errorf("%s is not as it is drawn: make pictures (%v)", name, err)
		}
		for d := xml.NewDecoder(strings.NewReader(want)); ; {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if !strings.Contains(want, "prefers-color-scheme: dark") {
			t.Errorf("%s has no dark theme", name)
		}
	}
}
