package consul

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/quorate/quorate/backend/driver"
)

// TestOperationsFit holds Consul's own limits against ours: 128 operations a
// transaction and 512 KiB a request, values in base64 and keys named twice.
func TestOperationsFit(t *testing.T) {
	const maxOps, maxBody = 128, 512 << 10
	v := driver.Version{Generation: 1, Number: 1 << 62}
	key := func(i int) string { return fmt.Sprintf("%s%02d", strings.Repeat("k", driver.MaxKeyBytes-2), i) }
	value := make([]byte, driver.MaxTxnBytes/driver.MaxOps-driver.MaxKeyBytes)
	for name, op := range map[string]func(i int) driver.Op{
		"creates":           func(i int) driver.Op { return driver.Create(key(i), value) },
		"ephemeral creates": func(i int) driver.Op { return driver.CreateEphemeral(key(i), value) },
		"puts":              func(i int) driver.Op { return driver.Put(key(i), value, v) },
		"deletes":           func(i int) driver.Op { return driver.Delete(key(i), v) },
	} {
		txn := driver.Txn{}
		for i := range driver.MaxOps {
			txn.Ops = append(txn.Ops, op(i))
			if txn.Ops[i].Ephemeral {
				txn.Lease = "adf4238a-882b-9ddc-4a9d-5b6758e4159e"
			}
		}
		if err := txn.Check(); err != nil {
			t.Fatal(err)
		}
		ops := operations(txn)
		if len(ops) > maxOps {
			t.Errorf("%d %s take %d operations, at most %d are allowed", driver.MaxOps, name, len(ops), maxOps)
		}
		body, err := json.Marshal(ops)
		if err != nil {
			t.Fatal(err)
		}
		if len(body) > maxBody {
			t.Errorf("%d %s take %d bytes, at most %d are allowed", driver.MaxOps, name, len(body), maxBody)
		}
	}
	one := operations(driver.Txn{Ops: []driver.Op{driver.Create(key(0)[:2], make([]byte, driver.MaxTxnBytes-2))}})
	if body, err := json.Marshal(one); err != nil || len(body) > maxBody {
		t.Errorf("the largest value takes %d bytes, at most %d are allowed (%v)", len(body), maxBody, err)
	}
}

// TestOperationsMean spells out each operation.
func TestOperationsMean(t *testing.T) {
	v := driver.Version{Generation: 3, Number: 7}
	var got []string
	for _, op := range operations(driver.Txn{
		Unchanged: []driver.Condition{{Key: "guard", Version: v}},
		Ops: []driver.Op{
			driver.Create("c", []byte("1")), driver.CreateEphemeral("e", []byte("2")),
			driver.Put("p", []byte("3"), v), driver.Delete("d", v), driver.Delete("blind", driver.Version{}),
			driver.Put("zero", nil, driver.Version{Generation: 3}),
		},
		Lease: "s",
	}) {
		got = append(got, fmt.Sprintf("%s %s %q %d %s", op.KV.Verb, op.KV.Key, op.KV.Value, op.KV.Index, op.KV.Session))
	}
	want := []string{
		`check-index guard "" 7 `,
		`cas c "1" 0 `, // index 0: absent
		`check-not-exists e "" 0 `,
		`lock e "2" 0 s`,
		`cas p "3" 7 `,
		`check-index d "" 7 `, // delete-cas would be content to find nothing
		`delete d "" 0 `,
		`delete blind "" 0 `,
		`check-index zero "" 0 `, // else cas would create it
		`cas zero "" 0 `,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("operations:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestCommon(t *testing.T) {
	for want, targets := range map[string][]driver.Target{
		"":         {driver.Key("a"), driver.Key("b")},
		"q/":       {driver.Dir("q/a/b"), driver.Key("q/c")},
		"q/a/":     {driver.Key("q/a/b"), driver.Key("q/a/bc"), driver.Dir("q/a")},
		"q/a/b/":   {driver.Dir("q/a/b"), driver.Key("q/a/b/c")},
		"q/ab/":    {driver.Dir("q/ab")},
		"q/a/b/c/": {driver.Key("q/a/b/c/d"), driver.Key("q/a/b/c/e")},
	} {
		if got := common(targets); got != want {
			t.Errorf("common(%v) = %q, want %q", targets, got, want)
		}
	}
	if got := common(nil); got != "" {
		t.Errorf("common of nothing = %q", got)
	}
}

func TestIndexes(t *testing.T) {
	began := 0
	x := indexes{began: func() { began++ }}
	m := x.mark()
	x.saw(m, 90)
	if !x.table(m, 80) {
		t.Error("an index read before the highest was known began a new generation")
	}
	m = x.mark()
	if !x.table(m, 90) || !x.table(m, 95) {
		t.Error("an index that did not go back began a new generation")
	}
	m = x.mark()
	if x.table(m, 94) {
		t.Error("an index that went back began no new generation")
	}
	x.saw(m, 200) // read before the store went back
	now := x.mark()
	if now != (mark{94, 2}) || began != 1 {
		t.Errorf("after going back to 94: %+v", now)
	}
	if x.table(m, 300) {
		t.Error("what was read in the generation before stands in this one")
	}
}
