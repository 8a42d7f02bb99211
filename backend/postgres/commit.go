package postgres

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/quorate/quorate/backend/driver"
)

var errEmptyAnswer = errors.New("the answer is empty")

// Outcomes of quorate.commit.
const (
	applied = 1
	refusal = 2
)

// Versions that quorate.commit compares with.
const (
	absent     = 0
	anyVersion = -1
	noVersion  = math.MaxInt64 // no entry has it
)

// Commit sends txn as one statement, once. The same statement reads the keys
// that txn names when a condition does not hold.
func (d *Driver) Commit(ctx context.Context, txn driver.Txn) (driver.Result, error) {
	if err := txn.Check(); err != nil {
		return driver.Result{}, err
	}
	if txn.Lease != "" && !leaseName.MatchString(txn.Lease) {
		return driver.Result{}, fmt.Errorf("%w: %q is no lease of this store's", driver.ErrInvalid, txn.Lease)
	}
	if l := d.known(txn.Lease); l != nil && l.isLost() {
		return driver.Result{}, fmt.Errorf("postgres commit: %w: lease %s is gone", driver.ErrSessionLost, txn.Lease)
	}
	start := d.history.now()
	rows, err := d.call(ctx, d.sql("commit($1, $2, $3, $4, $5, $6, $7)"), commitParams(txn, start)...)
	if err == nil && len(rows) == 0 {
		err = errEmptyAnswer
	}
	if err != nil {
		return driver.Result{}, fmt.Errorf("postgres commit: %w", classify(ctx, err, true))
	}
	head := rows[0]
	generation := d.history.note(start, head.text(1), head.number(3))
	switch head.number(0) {
	case applied:
		result := driver.Result{Applied: true, Versions: make([]driver.Version, len(txn.Ops))}
		for i, op := range txn.Ops {
			if op.Kind != driver.OpDelete {
				result.Versions[i] = driver.Version{Generation: generation, Number: uint64(head.number(4))}
			}
		}
		return result, nil
	case refusal:
		current := make(map[string]driver.Entry, len(rows)-1)
		for _, r := range rows[1:] {
			current[r.text(1)] = entry(r, generation)
		}
		return driver.Result{Current: current}, nil
	default:
		d.lose(txn.Lease)
		return driver.Result{}, fmt.Errorf("postgres commit: %w: lease %s is gone", driver.ErrSessionLost, txn.Lease)
	}
}

// commitParams are the parameters of quorate.commit. A version of an older
// generation becomes one that no entry has. Beside versions of the present
// generation the server must be the one that they were read from.
func commitParams(txn driver.Txn, start mark) []param {
	var actions, keys, versions, contents [][]byte
	add := func(action, key string, version int64, content []byte) {
		actions = append(actions, []byte(action))
		keys = append(keys, []byte(key))
		versions = append(versions, number(version))
		contents = append(contents, content)
	}
	expected := mark{}
	compare := func(v driver.Version) int64 {
		expected = start
		if v.Generation != start.generation || v.Number == 0 || v.Number > math.MaxInt64 {
			return noVersion
		}
		return int64(v.Number)
	}
	for _, c := range txn.Unchanged {
		add("check", c.Key, compare(c.Version), nil)
	}
	for _, op := range txn.Ops {
		switch {
		case op.Kind == driver.OpCreate && op.Ephemeral:
			add("ephemeral", op.Key, absent, op.Value)
		case op.Kind == driver.OpCreate:
			add("create", op.Key, absent, op.Value)
		case op.Kind == driver.OpPut:
			add("put", op.Key, compare(op.Version), op.Value)
		case op.Version.IsZero():
			add("delete", op.Key, anyVersion, nil)
		default:
			add("delete", op.Key, compare(op.Version), nil)
		}
	}
	return []param{
		textParam(expected.identity), numberParam(expected.revision), leaseParam(txn.Lease),
		textsParam(actions), textsParam(keys), numbersParam(versions), bytesParam(contents),
	}
}
