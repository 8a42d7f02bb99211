package driver

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
)

// Covers reports whether key belongs to the target: it is the target, or it
// lies directly in the target's directory. A name that CheckPath rejects
// belongs to no directory: somebody else made it.
func (t Target) Covers(key string) bool {
	if !t.Dir {
		return key == t.Path
	}
	name, below := strings.CutPrefix(key, t.Path+"/")
	return below && checkComponent(name) == ""
}

// Equal reports whether two entries are the same state of the same key.
func (e Entry) Equal(other Entry) bool {
	return e.Key == other.Key && e.Version == other.Version && e.Lease == other.Lease &&
		e.Created == other.Created && e.Modified == other.Modified && bytes.Equal(e.Value, other.Value)
}

// SortEntries sorts entries by key.
func SortEntries(entries []Entry) {
	slices.SortFunc(entries, func(a, b Entry) int { return cmp.Compare(a.Key, b.Key) })
}

// CloneEntries copies entries with their values, so that the receiver owns
// them.
func CloneEntries(entries []Entry) []Entry {
	own := slices.Clone(entries)
	for i := range own {
		own[i].Value = bytes.Clone(own[i].Value)
	}
	return own
}

// Differing returns a function for a Watch to call with each state that it
// reads. It calls changed with a copy of the first state, and of each state
// that differs from the last one delivered.
func Differing(changed func([]Entry)) func([]Entry) {
	var last []Entry
	first := true
	return func(entries []Entry) {
		if !first && slices.EqualFunc(last, entries, Entry.Equal) {
			return
		}
		first, last = false, entries
		changed(CloneEntries(entries))
	}
}
