package backend

import (
	"context"
	"fmt"
	"sync"
)

// Guard makes a commit depend on an ownership: the commit is applied only if
// the ownership continues in the store at that instant. So the store itself
// does the fencing of writes to it. For other systems, send Token along and let
// them reject lower tokens.
//
//	err := store.Put(ctx, "reports/latest", report, lead.Guard())
//
// Store.Put and Store.Update write one key under guards, Store.Commit several.
//
// A Guard comes from the primitive that granted the ownership, and serves
// commits of the same Store only. It does no I/O by itself. A commit with the
// zero Guard is ErrInvalid.
type Guard struct{ g *guard }

type guard struct {
	store  *Store
	token  uint64
	stands func(map[string]Entry) bool

	mu       sync.Mutex
	versions map[string]Version // as last seen standing
}

// NewGuard makes a guard out of the entries that prove an ownership, for
// primitives. The ownership continues as long as the function given returns
// true for the present entries with these keys. It is not called while they are
// unchanged. At least one of the keys has a unique name and is never created
// again (clause C12 of the driver contract).
func (s *Store) NewGuard(token uint64, entries []Entry, stands func(map[string]Entry) bool) Guard {
	versions := make(map[string]Version, len(entries))
	for _, e := range entries {
		versions[e.Key] = e.Version
	}
	return Guard{&guard{store: s, token: token, stands: stands, versions: versions}}
}

// Token returns the fencing token of the ownership: a later owner's is higher.
func (g Guard) Token() uint64 {
	if g.g == nil {
		return 0
	}
	return g.g.token
}

// guarded returns txn with the conditions of guards, and what was taken for
// the version of each of their keys. If guards know one key at different
// versions then agree is false: a commit could prove one of them only, so all
// have to look again first.
func (s *Store) guarded(txn Txn, guards []Guard) (_ Txn, sent map[string]Version, agree bool, err error) {
	named := make(map[string]bool)
	for _, c := range txn.Unchanged {
		named[c.Key] = true
	}
	for _, op := range txn.Ops {
		named[op.Key] = true
	}
	conditions := append([]Condition(nil), txn.Unchanged...)
	sent, agree = make(map[string]Version), true
	for _, guard := range guards {
		switch {
		case guard.g == nil:
			return Txn{}, nil, false, fmt.Errorf("%w: a zero Guard", ErrInvalid)
		case guard.g.store != s:
			return Txn{}, nil, false, fmt.Errorf("%w: a Guard of another Store", ErrInvalid)
		}
		guard.g.mu.Lock()
		if len(guard.g.versions) == 0 {
			guard.g.mu.Unlock()
			return Txn{}, nil, false, fmt.Errorf("%w: a Guard without keys", ErrInvalid)
		}
		for key, version := range guard.g.versions {
			if named[key] {
				guard.g.mu.Unlock()
				return Txn{}, nil, false, fmt.Errorf("%w: the commit names %q, which its guard stands on", ErrInvalid, key)
			}
			if other, twice := sent[key]; twice {
				agree = agree && version == other
				continue
			}
			sent[key] = version
			conditions = append(conditions, Condition{Key: key, Version: version})
		}
		guard.g.mu.Unlock()
	}
	txn.Unchanged = conditions
	return txn, sent, agree, nil
}

// refreshGuards is called after a refusal, with what it showed, if anything, or
// when guards disagree. It returns ErrFenced if a guard no
// longer stands, and whether one stands at another version than was sent.
func (s *Store) refreshGuards(ctx context.Context, guards []Guard, sent map[string]Version, current map[string]Entry) (again bool, err error) {
	if current == nil {
		if current, err = s.readKeys(ctx, sent); err != nil {
			return false, err
		}
	}
	for _, guard := range guards {
		if !guard.refresh(current) {
			return false, fmt.Errorf("commit: %w (token %d)", ErrFenced, guard.Token())
		}
	}
	for key, version := range sent {
		again = again || current[key].Version != version
	}
	return again, nil
}

func (s *Store) readKeys(ctx context.Context, keys map[string]Version) (map[string]Entry, error) {
	var targets []Target
	for key := range keys {
		targets = append(targets, Target{Path: key})
	}
	read, err := s.Read(ctx, targets...)
	if err != nil {
		return nil, err
	}
	current := make(map[string]Entry)
	for _, entries := range read {
		for _, e := range entries {
			current[e.Key] = e
		}
	}
	return current, nil
}

// refresh reports whether the guard stands in current, and if so remembers the
// versions there.
func (g Guard) refresh(current map[string]Entry) bool {
	g.g.mu.Lock()
	defer g.g.mu.Unlock()
	mine := make(map[string]Entry, len(g.g.versions))
	changed := false
	for key, version := range g.g.versions {
		entry, there := current[key]
		if !there {
			return false
		}
		mine[key] = entry
		changed = changed || entry.Version != version
	}
	if changed && !g.g.stands(mine) {
		return false
	}
	for key := range g.g.versions {
		g.g.versions[key] = mine[key].Version
	}
	return true
}
