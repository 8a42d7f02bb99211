package zookeeper

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-zookeeper/zk"

	"github.com/quorate/quorate/backend/driver"
)

// maxParentRounds bounds how often the parents of a commit's keys are created.
// The library never deletes them.
const maxParentRounds = driver.MaxOps + 2

// Commit sends one multi, on the lease's connection if it names a lease. It
// sends the multi again only if it was refused because a parent node is missing.
func (d *Driver) Commit(ctx context.Context, txn driver.Txn) (driver.Result, error) {
	if err := txn.Check(); err != nil {
		return driver.Result{}, err
	}
	if err := driver.NotSent(ctx); err != nil {
		return driver.Result{}, err
	}
	result, err := d.commit(ctx, txn)
	return result, driver.Ended(ctx, err)
}

// commit counts the ephemeral keys around send.
func (d *Driver) commit(ctx context.Context, txn driver.Txn) (driver.Result, error) {
	l, err := d.lease(txn.Lease)
	if err != nil {
		return driver.Result{}, err
	}
	paths := created(txn)
	var added []string
	if l != nil {
		if added, err = l.reserve(ctx, paths); err != nil {
			return driver.Result{}, err
		}
	}
	result, err := d.send(ctx, l, txn)
	if l != nil {
		l.ephemerals.settle(paths, added, result.Applied || errors.Is(err, driver.ErrIndeterminate))
	}
	if result.Applied {
		d.deleted(txn)
	}
	return result, err
}

// lease returns the lease that a commit names, if it names one.
func (d *Driver) lease(id string) (*lease, error) {
	if id == "" {
		return nil, nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if l := d.leases[id]; l != nil {
		return l, nil
	}
	return nil, fmt.Errorf("%w: this driver has no session %s", driver.ErrSessionLost, id)
}

// deleted notes what a commit that was applied has deleted.
func (d *Driver) deleted(txn driver.Txn) {
	var paths []string
	for _, op := range txn.Ops {
		if op.Kind == driver.OpDelete {
			paths = append(paths, nodePath(op.Key))
		}
	}
	if len(paths) == 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, l := range d.leases {
		l.ephemerals.deleted(paths)
	}
}

func (d *Driver) send(ctx context.Context, l *lease, txn driver.Txn) (driver.Result, error) {
	c, judge, err := d.connFor(ctx, l)
	if err != nil {
		return driver.Result{}, err
	}
	generation, err := d.generations.of(ctx, c)
	if err != nil {
		return driver.Result{}, classify(err, false)
	}
	m, possible := d.operations(txn)
	if !possible || !txn.OfGeneration(generation) {
		return driver.Refused(ctx, txn, d.read), nil
	}
	for range maxParentRounds {
		results, sent, err := m.send(ctx, c)
		orphan, refused := m.refusal(results)
		switch {
		case err == nil:
			return m.applied(txn, results, generation)
		case orphan != "":
			if err := d.makeParents(ctx, c, orphan); err != nil {
				return driver.Result{}, judge(err)
			}
		case refused && errors.Is(err, zk.ErrNotEmpty) && m.blind:
			return m.applied(txn, results, generation) // a directory, and no key
		case refused && m.contentWithout(err):
			return m.applied(txn, results, generation)
		case refused && isConflict(err):
			return driver.Refused(ctx, txn, d.read), nil
		case refused:
			return driver.Result{}, classify(err, false)
		default:
			return driver.Result{}, judge(classify(err, sent && len(txn.Ops) > 0))
		}
	}
	return driver.Result{}, fmt.Errorf("%w: another client deletes the parents of the keys as they are created", driver.ErrUnavailable)
}

// connFor returns a connection for a commit, and what is to be made of its
// errors.
func (d *Driver) connFor(ctx context.Context, l *lease) (*conn, func(error) error, error) {
	if l == nil {
		c, err := d.common.up(ctx)
		return c, func(err error) error { return err }, err
	}
	l.used()
	c, err := l.up(ctx)
	return c, l.judge, err
}

// multi is a Txn as operations of ZooKeeper.
type multi struct {
	ops []any
	// at is where in ops each operation of the txn has its result.
	at []int
	// blind: it is a delete of one key in any state.
	blind bool
}

// operations translates txn, and reports whether it can be applied at all.
func (d *Driver) operations(txn driver.Txn) (*multi, bool) {
	m := &multi{}
	for _, c := range txn.Unchanged {
		version, possible := ofVersion(c.Version)
		if !possible {
			return nil, false
		}
		m.ops = append(m.ops, &zk.CheckVersionRequest{Path: nodePath(c.Key), Version: version})
	}
	for _, op := range txn.Ops {
		if !d.operation(m, op) {
			return nil, false
		}
	}
	return m, true
}

func (d *Driver) operation(m *multi, op driver.Op) bool {
	path := nodePath(op.Key)
	version, possible := ofVersion(op.Version)
	switch {
	case op.Kind == driver.OpCreate && op.Ephemeral:
		m.ops = append(m.ops, &zk.CreateRequest{Path: path, Data: dataOf(op.Value), Acl: d.opts.ACL, Flags: zk.FlagEphemeral})
	case op.Kind == driver.OpCreate:
		m.ops = append(m.ops, &zk.CreateRequest{Path: path, Data: dataOf(op.Value), Acl: d.opts.ACL})
	case op.Kind == driver.OpDelete && op.Version.IsZero():
		m.blind = true // Check has seen to it that it is alone
		m.ops = append(m.ops, &zk.DeleteRequest{Path: path, Version: -1})
	case !possible:
		return false
	case op.Kind == driver.OpDelete:
		m.ops = append(m.ops, &zk.DeleteRequest{Path: path, Version: version})
	default:
		m.ops = append(m.ops, &zk.SetDataRequest{Path: path, Data: dataOf(op.Value), Version: version})
		if version == -2 {
			// After 2^32 - 2 puts the version becomes -1. Another put in the
			// same step passes over it.
			m.ops = append(m.ops, &zk.SetDataRequest{Path: path, Data: dataOf(op.Value), Version: -1})
		}
	}
	m.at = append(m.at, len(m.ops)-1)
	return true
}

func (m *multi) send(ctx context.Context, l *conn) ([]zk.MultiResponse, bool, error) {
	return ask(ctx, l, func(c *zk.Conn) ([]zk.MultiResponse, error) { return c.Multi(m.ops...) })
}

// refusal reports whether the server refused the multi for one of its
// operations: then nothing of it was applied, whatever the reason. If a parent
// was missing, refusal returns the path of the node that needs it.
func (m *multi) refusal(results []zk.MultiResponse) (orphan string, refused bool) {
	if len(results) != len(m.ops) {
		return "", false
	}
	for i, r := range results {
		if r.Error == nil {
			continue
		}
		if create, ok := m.ops[i].(*zk.CreateRequest); ok && errors.Is(r.Error, zk.ErrNoNode) {
			return create.Path, true
		}
		return "", true
	}
	return "", false
}

func isConflict(err error) bool {
	return errors.Is(err, zk.ErrNodeExists) || errors.Is(err, zk.ErrNoNode) || errors.Is(err, zk.ErrBadVersion)
}

// contentWithout reports whether the multi is a blind delete that found nothing.
func (m *multi) contentWithout(err error) bool { return m.blind && errors.Is(err, zk.ErrNoNode) }

func (m *multi) applied(txn driver.Txn, results []zk.MultiResponse, generation uint64) (driver.Result, error) {
	result := driver.Result{Applied: true, Versions: make([]driver.Version, len(txn.Ops))}
	for i, op := range txn.Ops {
		switch op.Kind {
		case driver.OpCreate:
			result.Versions[i] = toVersion(0, generation)
		case driver.OpPut:
			if len(results) != len(m.ops) || results[m.at[i]].Stat == nil {
				return driver.Result{}, fmt.Errorf("%w: it was applied, but the reply says nothing of %q", driver.ErrIndeterminate, op.Key)
			}
			result.Versions[i] = toVersion(results[m.at[i]].Stat.Version, generation)
		case driver.OpDelete:
		}
	}
	return result, nil
}

// makeParents creates the missing nodes above path. They stay. They have no
// data, so they are no keys.
func (d *Driver) makeParents(ctx context.Context, l *conn, path string) error {
	above := parents(path[1:])
	for i := len(above) - 1; i >= 0 && i < len(above); {
		_, _, err := ask(ctx, l, func(c *zk.Conn) (string, error) { return c.Create(above[i], nil, 0, d.opts.ACL) })
		switch {
		case err == nil, errors.Is(err, zk.ErrNodeExists):
			i++
		case errors.Is(err, zk.ErrNoNode):
			i--
		default:
			// The commit itself was refused.
			return classify(fmt.Errorf("creating %s, the parent of a key: %w", above[i], err), false)
		}
	}
	return nil
}
