package pages_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// link matches the target of a link of Markdown that is not of the web.
var link = regexp.MustCompile(`\]\(([^)#\s]+)[^)]*\)`)

// TestLinks: what a page of this repository points at in it is there.
func TestLinks(t *testing.T) {
	checked := 0
	for _, page := range append(pages(t), "CONTRIBUTING.md") {
		text, err := os.ReadFile(filepath.Join(top, page))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			target := m[1]
			if strings.Contains(target, "://") {
				continue
			}
			checked++
			if _, err := os.Stat(filepath.Join(top, filepath.Dir(page), filepath.FromSlash(target))); err != nil {
				t.Errorf("%s points at %s: %v", page, target, err)
			}
		}
	}
	if checked < 20 {
		t.Errorf("only %d links found", checked)
	}
}
