package drivertest_test

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/quorate/quorate/backend/driver"
)

// below returns the keys whose paths begin with dir, a separator and anything.
func below(b *broken, dir, separator string) []driver.Entry {
	var entries []driver.Entry
	for _, e := range b.server.Entries() {
		if strings.HasPrefix(e.Key, dir+separator) {
			e.Version.Generation = 1
			entries = append(entries, e)
		}
	}
	return entries
}

// listing makes a bug of how a directory is read.
func listing(f func(b *broken, dir string, entries []driver.Entry) []driver.Entry) func() hooks {
	return func() hooks {
		return hooks{read: func(b *broken, ctx context.Context, targets []driver.Target) ([][]driver.Entry, error) {
			all, err := b.Driver.Read(ctx, targets...)
			for i := range all {
				if targets[i].Dir {
					all[i] = f(b, targets[i].Path, all[i])
				}
			}
			return all, err
		}}
	}
}

var directoryBugs = map[string]bug{
	"everything below a directory": {listing(func(b *broken, dir string, _ []driver.Entry) []driver.Entry {
		return below(b, dir, "/")
	}), "C14-directories/direct-children-only C14-directories/parents-are-no-keys"},
	"everything with the prefix": {listing(func(b *broken, dir string, _ []driver.Entry) []driver.Entry {
		return below(b, dir, "")
	}), "C14-directories/direct-children-only"},
	"directories are children": {listing(func(b *broken, dir string, entries []driver.Entry) []driver.Entry {
		names := map[string]driver.Entry{}
		for _, e := range entries {
			names[e.Key] = e
		}
		for _, e := range below(b, dir, "/") {
			child, _, deeper := strings.Cut(strings.TrimPrefix(e.Key, dir+"/"), "/")
			if deeper {
				names[dir+"/"+child] = driver.Entry{Key: dir + "/" + child}
			}
		}
		sorted := make([]driver.Entry, 0, len(names))
		for _, name := range slices.Sorted(maps.Keys(names)) {
			sorted = append(sorted, names[name])
		}
		return sorted
	}), "C14-directories/direct-children-only C14-directories/parents-are-no-keys"},
	"directories are keys": {func() hooks {
		return hooks{read: func(b *broken, ctx context.Context, targets []driver.Target) ([][]driver.Entry, error) {
			all, err := b.Driver.Read(ctx, targets...)
			for i := range all {
				if !targets[i].Dir && len(all[i]) == 0 && len(below(b, targets[i].Path, "/")) > 0 {
					all[i] = []driver.Entry{{Key: targets[i].Path}}
				}
			}
			return all, err
		}}
	}, "C14-directories/parents-are-no-keys"},
	"unsorted": {listing(func(_ *broken, _ string, entries []driver.Entry) []driver.Entry {
		slices.Reverse(entries)
		return entries
	}), "C14-directories/names"},
	"names are unescaped": {listing(func(_ *broken, _ string, entries []driver.Entry) []driver.Entry {
		for i := range entries {
			entries[i].Key = strings.ReplaceAll(entries[i].Key, "%2F", "/")
		}
		return entries
	}), "C14-directories/names"},
	"versions of a listing are another kind": {listing(func(_ *broken, _ string, entries []driver.Entry) []driver.Entry {
		for i := range entries {
			entries[i].Version.Number += 100
		}
		return entries
	}), "C14-directories/names C13-ownership/put-keeps-the-lease"},
	"stale listing": {func() hooks {
		var c cache
		return hooks{read: func(b *broken, ctx context.Context, targets []driver.Target) ([][]driver.Entry, error) {
			all, err := b.Driver.Read(ctx, targets...)
			for i := range all {
				if !targets[i].Dir {
					continue
				}
				if before := c.swap(targets[i:i+1], deep(all[i:i+1])); before != nil {
					all[i] = before[0]
				}
			}
			return all, err
		}}
	}, "C01-reads/other-drivers-see-a-commit C14-directories/parents-are-no-keys"},
}
