package membership

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/internal/document"
)

func crowdView(n int) (v View) {
	for i := range n {
		v.Members = append(v.Members, Member{ID: fmt.Sprintf("m%04d", i)})
	}
	return v
}

// The golden vectors of Choose: no version may change them.
func TestChooseGolden(t *testing.T) {
	for _, c := range []struct {
		id, key string
		want    uint64
	}{
		{"", "", 0xb9034ad37056f5fb},
		{"pod-1", "user/42", 0xacb7f2daff1d3c68},
		{"pod-2", "user/42", 0x1d4da12f92328d97},
		{"größe", "\x00\xff", 0x8499cffdf844562},
	} {
		if got := weight(c.id, c.key); got != c.want {
			t.Errorf("weight(%q, %q) = %#x, want %#x", c.id, c.key, got, c.want)
		}
	}
	v := crowdView(10)
	for key, want := range map[string]string{"a": "m0000 m0008 m0001", "b": "m0007 m0003 m0004", "user/42": "m0008 m0005 m0006"} {
		var got []string
		for _, m := range v.Choose(key, 3) {
			got = append(got, m.ID)
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("Choose(%q, 3) = %q, want %q", key, s, want)
		}
	}
}

func TestChooseIsEvenAndMovesLittle(t *testing.T) {
	const members, total = 20, 20000
	v := crowdView(members)
	less := View{Members: slices.Delete(slices.Clone(v.Members), 7, 8)}
	load := make(map[string]int)
	for i := range total {
		key := fmt.Sprint("key", i)
		chosen := v.Choose(key, 3)
		load[chosen[0].ID]++
		if chosen[0].ID == chosen[1].ID || chosen[1].ID == chosen[2].ID || chosen[0].ID == chosen[2].ID {
			t.Fatalf("Choose(%q) chose one twice: %v", key, chosen)
		}
		first := less.Choose(key, 1)[0].ID
		if want := chosen[0].ID; want != "m0007" && first != want || want == "m0007" && first != chosen[1].ID {
			t.Fatalf("without m0007, %q moved from %s to %s", key, want, first)
		}
	}
	for id, n := range load {
		if n < total/members*8/10 || n > total/members*12/10 {
			t.Errorf("%s has %d of %d keys", id, n, total)
		}
	}
	if len(load) != members {
		t.Errorf("%d of %d members have keys", len(load), members)
	}
	if n := len(v.Choose("x", 100)); n != members {
		t.Errorf("%d chosen of %d", n, members)
	}
	if n := len(v.Choose("x", -1)) + len(View{}.Choose("x", 1)); n != 0 {
		t.Errorf("%d chosen, want none", n)
	}
}

func TestLookupAndRandom(t *testing.T) {
	v := crowdView(50)
	for _, m := range v.Members {
		if got, ok := v.Lookup(m.ID); !ok || got.ID != m.ID {
			t.Errorf("Lookup(%q) = %+v, %t", m.ID, got, ok)
		}
	}
	if _, ok := v.Lookup("m00005"); ok {
		t.Error("a member that is not there was found")
	}
	picked := make(map[string]bool)
	for range 2000 {
		m, ok := v.Random()
		if !ok {
			t.Fatal("none picked")
		}
		picked[m.ID] = true
	}
	if len(picked) != 50 {
		t.Errorf("%d of 50 were ever picked", len(picked))
	}
	if _, ok := (View{}).Random(); ok {
		t.Error("somebody was picked of nobody")
	}
}

func TestChange(t *testing.T) {
	m := func(id, incarnation string, update uint64) Member {
		return Member{ID: id, Incarnation: incarnation, update: update}
	}
	old := []Member{m("a", "1", 0), m("c", "1", 0), m("d", "1", 0), m("e", "1", 0), m("g", "1", 0)}
	now := []Member{m("b", "1", 0), m("c", "2", 1), m("d", "1", 1), m("e", "1", 0), m("f", "1", 0)}
	c := changeFrom(old, now)
	text := func(ms []Member) (s string) {
		for _, m := range ms {
			s += m.ID
		}
		return s
	}
	if got := fmt.Sprintf("+%s -%s r%s u%s", text(c.Added), text(c.Removed), text(c.Restarted), text(c.Updated)); got != "+bf -ag rc ud" {
		t.Errorf("the change is %s", got)
	}
	if c.IsZero() || !changeFrom(now, now).IsZero() {
		t.Error("IsZero is wrong")
	}
}

// What stands in the store: no version may change it without another format.
func TestGoldenDocuments(t *testing.T) {
	dir, err := directory("a/b c")
	if err != nil || dir != "membership/a%2Fb%20c/members" {
		t.Errorf("directory = %q, %v", dir, err)
	}
	entry := entryDocument{
		ID: "pod/7~x", Addr: "10.0.0.7:80", Meta: map[string]string{"zone": "b", "v": "1"},
		Incarnation: "I", Since: 5, Update: 3, TTLMillis: 10000,
	}
	const value = `{"format":1,"id":"pod/7~x","addr":"10.0.0.7:80","meta":{"v":"1","zone":"b"},"incarnation":"I","since":5,"update":3,"ttl_ms":10000}`
	if got := string(encode(entry)); got != value {
		t.Errorf("an entry is %s", got)
	}
	const mark = `{"format":1,"id":"pod/7~x","incarnation":"I","since":5}`
	if got := string(encode(leftDocument{ID: "pod/7~x", Incarnation: "I", Since: 5})); got != mark {
		t.Errorf("a mark is %s", got)
	}
	body, err := document.Encode(format, snapshot{
		Namespace: "quorate", Group: "a/b c", AsOf: time.Date(2026, 1, 2, 3, 4, 5, 600, time.UTC),
		Members: []snapshotMember{{entryDocument: entry, Registration: "pod%2F7~x~NONCE", Rank: 5}},
	})
	const file = `{"format":1,"namespace":"quorate","group":"a/b c","as_of":"2026-01-02T03:04:05.0000006Z","members":[` +
		`{"id":"pod/7~x","addr":"10.0.0.7:80","meta":{"v":"1","zone":"b"},"incarnation":"I","since":5,"update":3,"ttl_ms":10000,"registration":"pod%2F7~x~NONCE","rank":5}]}`
	if err != nil || string(body) != file {
		t.Errorf("a snapshot is %s, %v", body, err)
	}
	r, err := parse(dir, backend.Entry{Key: dir + "/pod%2F7~x~NONCE", Value: []byte(value), Created: 9})
	if err != nil || r.id != "pod/7~x" || r.name != "pod%2F7~x~NONCE" || r.left || r.rank() != 5 {
		t.Errorf("parse = %+v, %v", r, err)
	}
	r, err = parse(dir, backend.Entry{Key: dir + "/pod%2F7~x~NONCE~left", Value: []byte(mark), Created: 9})
	if err != nil || r.id != "pod/7~x" || !r.left || r.rank() != 5 {
		t.Errorf("parse of a mark = %+v, %v", r, err)
	}
	for _, name := range []string{"x", "%zz~N", "other~N"} {
		if _, err := parse(dir, backend.Entry{Key: dir + "/" + name, Value: []byte(value)}); err == nil {
			t.Errorf("%q was parsed", name)
		}
	}
	if _, err := parse(dir, backend.Entry{Key: dir + "/pod%2F7~x~N", Value: []byte(`{"format":2}`)}); !errors.Is(err, backend.ErrFormat) {
		t.Errorf("another format: %v", err)
	}
}

// A since from another history of the store says nothing.
func TestRank(t *testing.T) {
	for _, c := range []struct {
		since, created uint64
		left           bool
		want           uint64
	}{{0, 7, false, 7}, {5, 7, false, 5}, {7, 7, false, 7}, {9, 7, false, 0}, {5, 7, true, 5}, {9, 7, true, 0}, {0, 7, true, 0}} {
		r := &record{created: c.created, left: c.left, doc: entryDocument{Since: c.since}}
		if got := r.rank(); got != c.want {
			t.Errorf("rank of %+v = %d", c, got)
		}
	}
}
