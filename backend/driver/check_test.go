package driver_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/quorate/quorate/backend/driver"
)

func TestCheckPath(t *testing.T) {
	for _, good := range []string{"a", "a/b", "quorate/election/a%2Fb/queue/0Az-._~", strings.Repeat("k", driver.MaxKeyBytes)} {
		if err := driver.CheckPath(good); err != nil {
			t.Errorf("CheckPath(%.50q) = %v, want nil", good, err)
		}
	}
	for _, bad := range []string{"", "/", "/a", "a/", "a//b", ".", "a/../b", "a b", "a\x00", "ü", "a:b", strings.Repeat("k", driver.MaxKeyBytes+1)} {
		if err := driver.CheckPath(bad); !errors.Is(err, driver.ErrInvalid) {
			t.Errorf("CheckPath(%.50q) = %v, want ErrInvalid", bad, err)
		}
	}
}

func TestTxnCheck(t *testing.T) {
	v := driver.Version{Generation: 1, Number: 7}
	var many []driver.Op
	for i := range driver.MaxOps + 1 {
		many = append(many, driver.Create(fmt.Sprintf("k%d", i), nil))
	}
	full := make([]byte, driver.MaxValueBytes)
	for name, c := range map[string]struct {
		txn  driver.Txn
		want error
	}{
		"one of each": {driver.Txn{
			Unchanged: []driver.Condition{{Key: "a", Version: v}},
			Ops:       []driver.Op{driver.Create("b", nil), driver.CreateEphemeral("c", nil), driver.Put("d", nil, v), driver.Delete("e", v)},
			Lease:     "l",
		}, nil},
		"conditions alone":        {driver.Txn{Unchanged: []driver.Condition{{Key: "a", Version: v}}}, nil},
		"lone blind delete":       {driver.Txn{Ops: []driver.Op{driver.Delete("a", driver.Version{})}}, nil},
		"blind delete among more": {driver.Txn{Ops: []driver.Op{driver.Delete("a", driver.Version{}), driver.Create("b", nil)}}, driver.ErrInvalid},
		"nothing":                 {driver.Txn{}, driver.ErrInvalid},
		"key twice":               {driver.Txn{Unchanged: []driver.Condition{{Key: "a", Version: v}}, Ops: []driver.Op{driver.Put("a", nil, v)}}, driver.ErrInvalid},
		"bad key":                 {driver.Txn{Ops: []driver.Op{driver.Create("/a", nil)}}, driver.ErrInvalid},
		"condition, no version":   {driver.Txn{Unchanged: []driver.Condition{{Key: "a"}}}, driver.ErrInvalid},
		"blind put":               {driver.Txn{Ops: []driver.Op{driver.Put("a", nil, driver.Version{})}}, driver.ErrInvalid},
		"create with version":     {driver.Txn{Ops: []driver.Op{{Kind: driver.OpCreate, Key: "a", Version: v}}}, driver.ErrInvalid},
		"ephemeral put":           {driver.Txn{Ops: []driver.Op{{Kind: driver.OpPut, Key: "a", Version: v, Ephemeral: true}}, Lease: "l"}, driver.ErrInvalid},
		"no kind":                 {driver.Txn{Ops: []driver.Op{{Key: "a"}}}, driver.ErrInvalid},
		"lease missing":           {driver.Txn{Ops: []driver.Op{driver.CreateEphemeral("a", nil)}}, driver.ErrInvalid},
		"lease unused":            {driver.Txn{Ops: []driver.Op{driver.Create("a", nil)}, Lease: "l"}, driver.ErrInvalid},
		"too many":                {driver.Txn{Ops: many}, driver.ErrTooLarge},
		"value over the limit":    {driver.Txn{Ops: []driver.Op{driver.Create("a", append(full, 0))}}, driver.ErrTooLarge},
		"commit over the limit":   {driver.Txn{Ops: []driver.Op{driver.Create("a", full)}}, driver.ErrTooLarge},
	} {
		if err := c.txn.Check(); !errors.Is(err, c.want) {
			t.Errorf("%s: Check() = %v, want %v", name, err, c.want)
		}
	}
}
