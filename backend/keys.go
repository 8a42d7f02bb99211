package backend

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/quorate/quorate/backend/driver"
)

// maxName bounds a name before it is escaped.
const maxName = 100

// Path returns the path of a primitive's key: kind/name/rest... The name is
// escaped to one component, so "a/b" is a legal name and its keys never lie
// inside those of "a". Every byte that is not a letter, a digit or one of
// "-._~" is escaped as in a URL, "%2F" for a slash. So are the names "." and
// "..". A name is valid UTF-8 of 1 to 100 bytes; anything else is ErrInvalid.
//
// The Store puts its namespace in front.
func Path(kind Kind, name string, rest ...string) (string, error) {
	escaped, err := Escape(name)
	if err != nil {
		return "", err
	}
	return strings.Join(append([]string{string(kind), escaped}, rest...), "/"), nil
}

// Escape returns name as one component of a key, as Path does.
func Escape(name string) (string, error) {
	switch {
	case name == "":
		return "", fmt.Errorf("%w: the name is empty", ErrInvalid)
	case len(name) > maxName:
		return "", fmt.Errorf("%w: the name has %d bytes, at most %d are allowed: it begins with %.40q", ErrInvalid, len(name), maxName, name)
	case !utf8.ValidString(name):
		return "", fmt.Errorf("%w: the name %q is not UTF-8", ErrInvalid, name)
	}
	dots := name == "." || name == ".."
	var b strings.Builder
	for i := range len(name) {
		if c := name[i]; c == '%' || !driver.KeyByte(c) || dots {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String(), nil
}

// CheckPath reports, as ErrInvalid, what is wrong with a key or a directory of
// this Store, for example that it is too long with the namespace in front.
func (s *Store) CheckPath(path string) error { return driver.CheckPath(s.full(path)) }

// full returns the key in the store of a key of this Store.
func (s *Store) full(key string) string { return s.prefix + key }

func (s *Store) fullTargets(targets []Target) []Target {
	full := make([]Target, len(targets))
	for i, t := range targets {
		full[i] = Target{Path: s.full(t.Path), Dir: t.Dir}
	}
	return full
}

func (s *Store) fullTxn(txn Txn) Txn {
	unchanged := make([]Condition, len(txn.Unchanged))
	for i, c := range txn.Unchanged {
		unchanged[i] = Condition{Key: s.full(c.Key), Version: c.Version}
	}
	ops := make([]Op, len(txn.Ops))
	for i, op := range txn.Ops {
		op.Key = s.full(op.Key)
		ops[i] = op
	}
	return Txn{Unchanged: unchanged, Ops: ops, Lease: txn.Lease}
}

// strip takes the namespace off the keys of entries, in place.
func (s *Store) strip(entries []Entry) []Entry {
	for i := range entries {
		entries[i].Key = strings.TrimPrefix(entries[i].Key, s.prefix)
	}
	return entries
}

func (s *Store) stripResult(result Result) Result {
	if result.Current == nil {
		return result
	}
	current := make(map[string]Entry, len(result.Current))
	for key, entry := range result.Current {
		entry.Key = strings.TrimPrefix(key, s.prefix)
		current[entry.Key] = entry
	}
	result.Current = current
	return result
}
