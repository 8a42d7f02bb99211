package debug

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"time"
)

var (
	//go:embed page.css
	style string
	//go:embed page.html
	pageSource string

	page = template.Must(template.New("page").Funcs(template.FuncMap{
		"ms": func(ms int64) string {
			return (time.Duration(ms) * time.Millisecond).Round(100 * time.Millisecond).String()
		},
		"at": func(t time.Time) string { return t.UTC().Format("15:04:05 UTC") },
	}).Parse(pageSource))

	// policy lets the page have its own style sheet, by its hash, and nothing
	// else: no script, no other source, no frame around it.
	policy = "default-src 'none'; style-src 'sha256-" + hashOf(style) + "'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

func hashOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// view is what the page is made of.
type view struct {
	report
	Style    template.CSS
	Refresh  int // in seconds, 0 for not by itself
	Pausable bool
}

// Away is how many things could not be read.
func (v view) Away() (n int) {
	count := func(err string) {
		if err != "" {
			n++
		}
	}
	for _, p := range v.Elections {
		count(p.Error)
	}
	for _, p := range v.Partitions {
		count(p.Error)
	}
	for _, p := range v.Counters {
		count(p.Error)
	}
	for _, p := range v.Tallies {
		count(p.Error)
	}
	return n
}

// Low is where a trust window is called low.
func (v view) Low() int64 { return v.Session.Window / 3 }

// Empty reports whether nothing beside the session is shown.
func (v view) Empty() bool {
	return len(v.Elections)+len(v.Groups)+len(v.Partitions)+len(v.Counters)+len(v.Tallies) == 0
}

// numbers is a table of counters or tallies.
type numbers struct {
	Head  string
	Parts []part[numberPart]
	At    time.Time
}

// Numbers is for the template of such a table.
func (v view) Numbers(head string, parts []part[numberPart]) numbers {
	return numbers{head, parts, v.At}
}

func renderPage(b *bytes.Buffer, r report, refresh time.Duration, pausable bool) error {
	v := view{report: r, Style: template.CSS(style), Refresh: int(max(refresh, 0) / time.Second), Pausable: pausable}
	return page.Execute(b, v)
}
