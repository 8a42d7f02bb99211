package pages_test

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const glossary = "docs/glossary.md"

var (
	glossaryRow = regexp.MustCompile(`^<a id="([a-z-]+)"></a>([A-Za-z -]+)$`)
	italics     = regexp.MustCompile(`(^|[^*\w])\*([A-Za-z][^*]*)\*`)
)

// terms returns the terms that the glossary defines, with their meanings.
func terms(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	var order []string
	for line := range strings.Lines(read(t, glossary)) {
		row := cells(line)
		if len(row) != 2 || row[0] == "Term" || row[0] == "---" {
			continue
		}
		m := glossaryRow.FindStringSubmatch(row[0])
		if m == nil {
			t.Errorf("the row %q has no anchor, or no term", row[0])
			continue
		}
		if want := slug(m[2]); m[1] != want {
			t.Errorf("the anchor of %s is %s, want %s", m[2], m[1], want)
		}
		term := strings.ToLower(m[2])
		if all[term] != "" {
			t.Errorf("%s has two rows", term)
		}
		all[term], order = row[1], append(order, term)
	}
	if len(all) < 25 {
		t.Fatalf("only %d terms: does this test still read the page?", len(all))
	}
	if !slices.IsSorted(order) {
		t.Errorf("the terms are not in the order of the alphabet: %q", order)
	}
	return all
}

// introduced returns the terms that a page sets in italics.
func introduced(text string) (all []string) {
	text = codeSpan.ReplaceAllString(fenced.ReplaceAllString(text, ""), inline)
	text = strings.ReplaceAll(text, "**", "\x00")
	for _, m := range italics.FindAllStringSubmatch(text, -1) {
		all = append(all, strings.ToLower(strings.Join(strings.Fields(m[2]), " ")))
	}
	return all
}

// undefined returns the terms that a page sets in italics and the glossary does
// not define. A term may have the plural.
func undefined(page, text string, defined map[string]string) (all []string) {
	for _, term := range introduced(text) {
		if defined[term] == "" && defined[strings.TrimSuffix(term, "s")] == "" {
			all = append(all, fmt.Sprintf("%s: %s", page, term))
		}
	}
	return all
}

// TestGlossary: each term that a page introduces is defined, and each term that
// is defined is used.
func TestGlossary(t *testing.T) {
	defined := terms(t)
	var everything strings.Builder
	for _, page := range markdown(t) {
		text := read(t, page)
		bad := undefined(page, text, defined)
		switch excused := slices.Contains(pending[page], elevated); {
		case excused && len(bad) == 0:
			t.Errorf("%s has no term any more that is not defined: take it off the list", page)
		case !excused:
			for _, b := range bad {
				t.Errorf("%s is set in italics, and not in %s", b, glossary)
			}
		}
		if page != glossary {
			everything.WriteString(strings.ToLower(strings.Join(strings.Fields(text), " ")))
		}
	}
	for _, dir := range documented(t) {
		for _, p := range docPassages(t, dir) {
			everything.WriteString(strings.ToLower(p.text) + "\n")
		}
	}
	for _, term := range slices.Sorted(maps.Keys(defined)) {
		if !strings.Contains(everything.String(), term) {
			t.Errorf("no page and no package uses %s", term)
		}
	}
}

func TestUndefined(t *testing.T) {
	defined := map[string]string{"mark": "x", "trust window": "y"}
	text := "A *mark*, two *Marks*, a *trust\nwindow*, **bold *no* x**, `a *b* c`, 2 * 3 * 4.\n- *start*\n"
	got := undefined("p", text, defined)
	if want := []string{"p: no", "p: start"}; !slices.Equal(got, want) {
		t.Errorf("undefined = %q, want %q", got, want)
	}
}
