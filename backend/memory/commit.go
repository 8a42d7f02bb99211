package memory

import (
	"bytes"
	"context"
	"fmt"

	"github.com/quorate/quorate/backend/driver"
)

// Commit implements driver.Driver. It is ErrInvalid to create a key where a
// directory is, or was, or below a key (C14), and to name another driver's
// lease; ZooKeeper can do neither.
func (d *Driver) Commit(ctx context.Context, txn driver.Txn) (driver.Result, error) {
	if err := txn.Check(); err != nil {
		return driver.Result{}, err
	}
	return call(ctx, d, commits, driver.ErrIndeterminate, func() (driver.Result, error) {
		if txn.Lease != "" {
			g := d.server.leases[txn.Lease]
			if g == nil {
				return driver.Result{}, fmt.Errorf("%w: lease %s", driver.ErrSessionLost, txn.Lease)
			}
			if g.lease.driver != d {
				return driver.Result{}, fmt.Errorf("%w: lease %s is another driver's", driver.ErrInvalid, txn.Lease)
			}
		}
		if !d.holds(txn) {
			return driver.Result{Current: d.current(txn)}, nil
		}
		if err := d.server.checkDirs(txn.Ops); err != nil {
			return driver.Result{}, err
		}
		versions := d.server.apply(txn)
		for i := range versions {
			if txn.Ops[i].Kind != driver.OpDelete {
				versions[i].Generation = d.generation.Now()
			}
		}
		return driver.Result{Applied: true, Versions: versions}, nil
	})
}

// holds reports whether all conditions of txn hold, those of its operations
// included.
func (d *Driver) holds(txn driver.Txn) bool {
	at := func(key string, version driver.Version) bool {
		n := d.server.keys[key]
		return n != nil && version == driver.Version{Generation: d.generation.Now(), Number: n.number}
	}
	for _, c := range txn.Unchanged {
		if !at(c.Key, c.Version) {
			return false
		}
	}
	for _, op := range txn.Ops {
		switch {
		case op.Kind == driver.OpCreate:
			if d.server.keys[op.Key] != nil {
				return false
			}
		case op.Kind == driver.OpDelete && op.Version.IsZero():
		case !at(op.Key, op.Version):
			return false
		}
	}
	return true
}

// current returns the entries of all keys that txn names.
func (d *Driver) current(txn driver.Txn) map[string]driver.Entry {
	current := map[string]driver.Entry{}
	for _, key := range txn.Keys() {
		for _, e := range d.stamped(d.server.read(driver.Key(key))) {
			current[key] = e
		}
	}
	return current
}

// checkDirs refuses creates that would make something both a key and a
// directory.
func (s *Server) checkDirs(ops []driver.Op) error {
	created := map[string]bool{}
	for _, op := range ops {
		if op.Kind == driver.OpCreate {
			created[op.Key] = true
		}
	}
	for key := range created {
		if s.children[key] != nil {
			return fmt.Errorf("%w: %q is a directory", driver.ErrInvalid, key)
		}
		for dir := parent(key); dir != ""; dir = parent(dir) {
			if s.keys[dir] != nil || created[dir] {
				return fmt.Errorf("%w: %q lies below the key %q", driver.ErrInvalid, key, dir)
			}
		}
	}
	return nil
}

// apply does what txn says, all at one revision, and returns the versions
// written, without a generation. A put of equal bytes changes nothing (C11).
func (s *Server) apply(txn driver.Txn) []driver.Version {
	versions := make([]driver.Version, len(txn.Ops))
	next := s.revision + 1
	for i, op := range txn.Ops {
		old := s.keys[op.Key]
		switch op.Kind {
		case driver.OpCreate:
			n := &node{key: op.Key, value: bytes.Clone(op.Value), created: next, modified: next}
			if op.Ephemeral {
				n.lease = txn.Lease
			}
			s.put(n)
			s.revision = next
		case driver.OpPut:
			versions[i].Number = old.number
			if bytes.Equal(old.value, op.Value) {
				continue
			}
			n := *old
			n.value, n.modified, n.number = bytes.Clone(op.Value), next, old.number+1
			s.put(&n)
			versions[i].Number = n.number
			s.revision = next
		case driver.OpDelete:
			if old != nil {
				s.remove(op.Key)
				s.revision = next
			}
		}
	}
	return versions
}
