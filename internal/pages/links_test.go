package pages_test

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

var (
	// link is the target of a link or a picture, in Markdown or in HTML.
	link   = regexp.MustCompile(`\]\(([^)\s]+)[^)]*\)|(?:src|srcset|href)="([^"]+)"`)
	anchor = regexp.MustCompile(`<a (?:id|name)="([^"]+)"`)
	fenced = regexp.MustCompile("(?ms)^```.*?^```$")
)

// slug returns the anchor that a heading has.
func slug(heading string) string {
	var out strings.Builder
	heading = strings.ReplaceAll(heading, "`", "")
	for _, r := range strings.ToLower(plain(heading)) {
		switch {
		case r == ' ':
			out.WriteByte('-')
		case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
			out.WriteRune(r)
		}
	}
	return out.String()
}

// anchors returns those of a page.
func anchors(text string) (all []string) {
	text = fenced.ReplaceAllString(text, "")
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") {
			all = append(all, slug(strings.TrimSpace(strings.TrimLeft(line, "#"))))
		}
		for _, m := range anchor.FindAllStringSubmatch(line, -1) {
			all = append(all, m[1])
		}
	}
	return all
}

// broken returns the links of a page that lead nowhere in this repository, and
// how many it has looked at.
func broken(page, text string, there func(name string) (text string, ok bool)) (bad []string, checked int) {
	text = codeSpan.ReplaceAllString(fenced.ReplaceAllString(text, ""), inline)
	for _, m := range link.FindAllStringSubmatch(text, -1) {
		target := m[1] + m[2]
		if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
			continue
		}
		checked++
		file, at, _ := strings.Cut(target, "#")
		name := page
		if file != "" {
			name = path.Join(path.Dir(page), file)
		}
		switch target, ok := there(name); {
		case !ok:
			bad = append(bad, fmt.Sprintf("%s points at %s, which is not there", page, name))
		case at != "" && strings.HasSuffix(name, ".md") && !slices.Contains(anchors(target), at):
			bad = append(bad, fmt.Sprintf("%s points at %s, which has no #%s", page, name, at))
		}
	}
	return bad, checked
}

// TestLinks: each file and each heading that a page points at exists.
func TestLinks(t *testing.T) {
	total := 0
	for _, page := range markdown(t) {
		bad, checked := broken(page, read(t, page), func(name string) (string, bool) {
			full := filepath.Join(top, filepath.FromSlash(name))
			if info, err := os.Stat(full); err != nil || info.IsDir() {
				return "", err == nil
			}
			return read(t, name), true
		})
		total += checked
		for _, b := range bad {
			t.Error(b)
		}
	}
	if total < 100 {
		t.Errorf("only %d links found", total)
	}
}

// pageInComment is a page that a doc comment names.
var pageInComment = regexp.MustCompile(`docs/[\w/.-]+\.(md|svg)`)

// TestPagesNamedInDocComments: each page that the documentation of a package names
// exists.
func TestPagesNamedInDocComments(t *testing.T) {
	for _, dir := range documented(t) {
		for _, p := range docPassages(t, dir) {
			for _, name := range pageInComment.FindAllString(p.text, -1) {
				if _, err := os.Stat(filepath.Join(top, filepath.FromSlash(name))); err != nil {
					t.Errorf("%s names %s: %v", p.at, name, err)
				}
			}
		}
	}
}

func TestBroken(t *testing.T) {
	files := map[string]string{
		"docs/a.md":  "# The `x` of A\n```\n# no\n```\n| <a id=\"t\"></a>t |\n",
		"docs/b.svg": "",
	}
	there := func(name string) (string, bool) { text, ok := files[name]; return text, ok }
	good := "[a](a.md#the-x-of-a) [t](a.md#t) <img src=\"b.svg\"> [w](https://x/y#z) `[no](no.md)`\n```\n[no](no.md)\n```\n"
	if bad, checked := broken("docs/c.md", good, there); len(bad) != 0 || checked != 3 {
		t.Errorf("broken = %q, %d", bad, checked)
	}
	for _, text := range []string{"[a](a.md#no)", "[n](no.md)", "<img src=\"no.svg\">", "[x](#here)", "![p](no.png)"} {
		if bad, _ := broken("docs/c.md", text, there); len(bad) != 1 {
			t.Errorf("%s: %q", text, bad)
		}
	}
}
