package pages_test

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// longest is how many words a sentence has at most.
const longest = 30

// starts is how no sentence begins: its subject is to be a concrete noun.
var starts = regexp.MustCompile(`^["'(]*(What|Who|Whoever|Those who)\b`)

// An aim is a rule for the words of the project.
type aim string

const (
	subject  aim = "begins with What, Who, Whoever or Those who"
	length   aim = "is too long"
	private  aim = "has a word that the glossary replaces"
	elevated aim = "has a term that is not in docs/glossary.md"
)

// forbidden maps words that only this project would use so to the field's.
var forbidden = []struct {
	pattern *regexp.Regexp
	instead string
}{
	{regexp.MustCompile(`(?i)\b(is|are|was|were|be|been|being|stays?|store|server|quorum) away\b`), "unavailable, absent"},
	{regexp.MustCompile(`(?i)\b(go|goes|went|gone|going) on\b`), "continues"},
	{regexp.MustCompile(`(?i)\b(stands?|stood|standing)\b`), "exists, holds"},
	{regexp.MustCompile(`(?i)\b(who|those that|those who) waits?\b`), "the waiting candidate, the caller"},
	{regexp.MustCompile(`(?i)\bwhoever\b`), "the process, the caller"},
	{regexp.MustCompile(`(?i)\bheed(s|ed|ing)?\b`), "obeys, reacts to"},
	{regexp.MustCompile(`(?i)\bkeepers?\b`), "session manager"},
	{regexp.MustCompile(`(?i)\b(bells?|ringing|kicks?|guests?)\b`), "prefix watcher, wake, subscriber"},
	{regexp.MustCompile(`(?i)\bupkeep\b`), "register"},
	{regexp.MustCompile(`(?i)\brosters?\b`), "members"},
	{regexp.MustCompile(`(?i)\bcalm\b`), "self-preservation"},
	{regexp.MustCompile(`(?i)\b(befalls?|befell|befallen)\b`), "happens to"},
	{regexp.MustCompile(`(?i)\bin the midst\b`), "during"},
	{regexp.MustCompile(`(?i), save (an?|the|as|after|for|in|on|partition|CODE)\b`), "except"},
	{regexp.MustCompile(`(?i)\ball the same\b`), "nevertheless"},
	{regexp.MustCompile(`(?i)\bof one's own\b`), "of your own"},
}

// faults returns what is wrong with a passage, by rule.
func faults(p passage) map[aim][]string {
	found := map[aim][]string{}
	report := func(rule aim, text string) { found[rule] = append(found[rule], fmt.Sprintf("%s: %s", p.at, text)) }
	all := sentences(p.text)
	if p.rows {
		all = strings.Split(p.text, "\n")
	}
	for _, s := range all {
		if starts.MatchString(strings.TrimSpace(s)) {
			report(subject, s)
		}
		if n := words(s); n > longest && !p.rows {
			report(length, fmt.Sprintf("%d words: %s", n, s))
		}
	}
	for _, f := range forbidden {
		if m := f.pattern.FindString(p.text); m != "" {
			report(private, fmt.Sprintf("%q, better: %s: %s", m, f.instead, p.text))
		}
	}
	return found
}

// documented returns the directories of the packages that a user of the library
// imports.
func documented(t *testing.T) (dirs []string) {
	t.Helper()
	seen := map[string]bool{}
	err := filepath.WalkDir(top, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(top, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		switch base := d.Name(); {
		case d.IsDir() && rel != ".":
			if strings.HasPrefix(base, ".") || slices.Contains([]string{"internal", "testdata", "integration", "tools", "examples", "models"}, base) {
				return fs.SkipDir
			}
		case strings.HasSuffix(base, ".go") && !strings.HasSuffix(base, "_test.go"):
			seen[path.Dir(rel)] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return slices.Sorted(maps.Keys(seen))
}

// markdown returns all pages, relative to the top.
func markdown(t *testing.T) (all []string) {
	t.Helper()
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md", ".github/*.md", ".github/*/*.md"} {
		found, err := filepath.Glob(filepath.Join(top, filepath.FromSlash(pattern)))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range found {
			rel, err := filepath.Rel(top, name)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, filepath.ToSlash(rel))
		}
	}
	return all
}

// TestEnglish holds every page, and the documentation of every package, to the
// rules. The list of what does not keep one yet may only shrink.
func TestEnglish(t *testing.T) {
	texts := map[string][]passage{}
	for _, page := range markdown(t) {
		texts[page] = passagesOf(page, read(t, page))
	}
	for _, dir := range documented(t) {
		texts[dir] = docPassages(t, dir)
	}
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		found := map[aim][]string{}
		for _, p := range texts[name] {
			for rule, all := range faults(p) {
				found[rule] = append(found[rule], all...)
			}
		}
		for _, rule := range []aim{subject, length, private} {
			switch excused := slices.Contains(pending[name], rule); {
			case excused && len(found[rule]) == 0:
				t.Errorf("nothing in %s %s any more: take it off the list", name, rule)
			case !excused:
				for _, f := range found[rule] {
					t.Errorf("%s\n\t%s", rule, f)
				}
			}
		}
	}
	for name := range pending {
		if texts[name] == nil {
			t.Errorf("%s is on the list, and not there", name)
		}
	}
}

func read(t *testing.T, page string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(top, filepath.FromSlash(page)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
