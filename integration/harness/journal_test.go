package harness

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestJournalReader(t *testing.T) {
	r := JournalReader{Path: filepath.Join(t.TempDir(), "journal")}
	next := func(want ...string) {
		t.Helper()
		if got, err := r.Next(); err != nil || !slices.Equal(got, want) {
			t.Errorf("Next = %q, %v, want %q", got, err, want)
		}
	}
	next()
	f, err := os.Create(r.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	write := func(s string) {
		t.Helper()
		if _, err := f.WriteString(s); err != nil {
			t.Fatal(err)
		}
	}
	write("one\ntwo\nthr")
	next("one", "two")
	next()
	write("ee\n\n")
	next("three", "")
	next()
}
