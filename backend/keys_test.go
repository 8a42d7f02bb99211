package backend_test

import (
	"strings"
	"testing"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/memory"
)

// TestKeysAreForEver holds what is stored under which key: a change here cuts
// a new version of the library off from all that an old one stored.
func TestKeysAreForEver(t *testing.T) {
	// Catches: no escape of "%" (two names, one key) or of "." and "..".
	for name, want := range map[string]string{
		"a":                      "election/a/office",
		"Az09-._~":               "election/Az09-._~/office",
		"a/b":                    "election/a%2Fb/office",
		"a%2Fb":                  "election/a%252Fb/office",
		"%":                      "election/%25/office",
		".":                      "election/%2E/office",
		"..":                     "election/%2E%2E/office",
		"...":                    "election/.../office",
		".a":                     "election/.a/office",
		"a b\x00\n":              "election/a%20b%00%0A/office",
		"ü":                      "election/%C3%BC/office",
		"領":                      "election/%E9%A0%98/office",
		strings.Repeat("n", 100): "election/" + strings.Repeat("n", 100) + "/office",
		strings.Repeat("/", 100): "election/" + strings.Repeat("%2F", 100) + "/office",
	} {
		got, err := backend.Path("election", name, "office")
		if err != nil || got != want {
			t.Errorf("Key(%q) = %q, %v, want %q", name, got, err, want)
		}
		if err := driver.CheckPath(got); err != nil {
			t.Errorf("Key(%q) is no legal key: %v", name, err)
		}
	}
	if got, err := backend.Path("counter", "a"); err != nil || got != "counter/a" {
		t.Errorf("Key without rest = %q, %v", got, err)
	}
	if got, err := backend.Path("partition", "a", "claims", "n~1"); err != nil || got != "partition/a/claims/n~1" {
		t.Errorf("Key with more rest = %q, %v", got, err)
	}
}

func TestBadNames(t *testing.T) {
	for _, name := range []string{"", strings.Repeat("n", 101), "\xff", "a\xc3"} {
		_, err := backend.Path("election", name)
		wantErr(t, err, backend.ErrInvalid)
		_, err = backend.Escape(name)
		wantErr(t, err, backend.ErrInvalid)
	}
}

func TestNamesNeverShareAKey(t *testing.T) {
	// Catches: an escape that is not injective, or that leaves a slash.
	seen := map[string]string{}
	alphabet := []string{"a", "/", "%", ".", "2", "F", "~"}
	for i := range 7 * 7 * 7 {
		name := alphabet[i%7] + alphabet[i/7%7] + alphabet[i/49]
		escaped, err := backend.Escape(name)
		if err != nil {
			t.Fatal(err)
		}
		if other, twice := seen[escaped]; twice || strings.Contains(escaped, "/") {
			t.Errorf("%q and %q are both %q", name, other, escaped)
		}
		seen[escaped] = name
	}
}

func TestNamespacesSeparateStores(t *testing.T) {
	// Catches: a method that forgets the namespace on the way in or out.
	bubble(t, func(t *testing.T, server *memory.Server) {
		a, _ := open(t, server, &backend.Options{Namespace: "a"})
		b, _ := open(t, server, &backend.Options{Namespace: "a/b"})
		put(t, a, "d/k", "of a")
		put(t, b, "d/k", "of b")
		for s, want := range map[*backend.Store]string{a: "of a", b: "of b"} {
			read, err := s.Read(t.Context(), driver.Dir("d"), driver.Key("d/k"))
			if err != nil {
				t.Fatal(err)
			}
			w, err := s.Watch(driver.Dir("d"))
			if err != nil {
				t.Fatal(err)
			}
			if err := w.Next(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, entries := range [][]backend.Entry{read[0], read[1], w.Entries(0)} {
				if len(entries) != 1 || entries[0].Key != "d/k" || string(entries[0].Value) != want {
					t.Errorf("%s: %+v", s.Namespace(), entries)
				}
			}
			w.Close()
			// A refused commit shows the Store's own keys, too.
			result, err := s.Commit(t.Context(), backend.Txn{Ops: []backend.Op{driver.Create("d/k", nil)}})
			if e := result.Current["d/k"]; err != nil || result.Applied || string(e.Value) != want || e.Key != "d/k" {
				t.Errorf("%s: create of what is there: %+v, %v", s.Namespace(), result, err)
			}
		}
		var keys []string
		for _, e := range server.Entries() {
			keys = append(keys, e.Key)
		}
		if got := strings.Join(keys, " "); got != "a/b/d/k a/d/k" {
			t.Errorf("stored: %s", got)
		}
	})
}

func TestASlashInANameIsNoDirectory(t *testing.T) {
	// Catches: a name that is not escaped.
	bubble(t, func(t *testing.T, server *memory.Server) {
		s, _ := open(t, server, nil)
		for _, name := range []string{"a", "a/b", "a%2Fb"} {
			key, err := backend.Path("counter", name, "value")
			if err != nil {
				t.Fatal(err)
			}
			put(t, s, key, name)
		}
		read, err := s.Read(t.Context(), driver.Dir("counter/a"), driver.Dir("counter/a/b"))
		if err != nil || len(read[0]) != 1 || len(read[1]) != 0 || string(read[0][0].Value) != "a" {
			t.Errorf("inside a: %+v, %v", read, err)
		}
	})
}
