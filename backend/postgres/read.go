package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/quorate/quorate/backend/driver"
)

// Read reads all targets in one statement, so they are of one instant. Leases
// that have expired are deleted first.
func (d *Driver) Read(ctx context.Context, targets ...driver.Target) ([][]driver.Entry, error) {
	if err := driver.CheckTargets(targets...); err != nil {
		return nil, err
	}
	if len(targets) == 0 {
		return nil, nil
	}
	s, err := d.read(ctx, targets, mark{revision: never})
	if err != nil {
		return nil, err
	}
	return s.entries, nil
}

// never is a revision that no store has.
const never = -1

// snapshot is what targets were at one instant.
type snapshot struct {
	mark
	unchanged  bool             // nothing was read: all is as it was at the mark named
	entries    [][]driver.Entry // for each target, by key
	nextExpiry time.Duration    // until the next lease expires, 0 if there is none
}

// read reads targets, unless the store still is at the mark seen.
func (d *Driver) read(ctx context.Context, targets []driver.Target, seen mark) (snapshot, error) {
	var paths, dirs [][]byte
	for _, t := range targets {
		paths = append(paths, []byte(t.Path))
		dirs = append(dirs, truth(t.Dir))
	}
	start := d.history.now()
	rows, err := d.call(ctx, d.sql("read($1, $2, $3, $4)"), textsParam(paths), truthsParam(dirs), textParam(seen.identity), numberParam(seen.revision))
	if err == nil && len(rows) == 0 {
		err = errEmptyAnswer
	}
	if err != nil {
		return snapshot{}, fmt.Errorf("postgres read: %w", classify(ctx, err, false))
	}
	head := rows[0]
	s := snapshot{
		mark:       mark{identity: head.text(1), revision: head.number(3)},
		unchanged:  head[2] != nil,
		entries:    make([][]driver.Entry, len(targets)),
		nextExpiry: time.Duration(head.number(4)) * time.Millisecond,
	}
	s.generation = d.history.note(start, s.identity, s.revision)
	for i := range s.entries {
		s.entries[i] = []driver.Entry{}
	}
	for _, r := range rows[1:] {
		if i := r.number(0) - 1; i >= 0 && int(i) < len(targets) {
			s.entries[i] = append(s.entries[i], entry(r, s.generation))
		}
	}
	return s, nil
}

// entry takes an entry from a row of quorate.read or quorate.commit.
func entry(r row, generation uint64) driver.Entry {
	modified := uint64(r.number(4))
	return driver.Entry{
		Key:      r.text(1),
		Value:    r[2],
		Created:  uint64(r.number(3)),
		Modified: modified,
		Version:  driver.Version{Generation: generation, Number: modified},
		Lease:    r.text(5),
	}
}

// sql is the statement that calls a function of the schema.
func (d *Driver) sql(function string) string {
	return "SELECT * FROM " + d.opts.Schema + "." + function
}
