// Package removable is for documents that can be deleted while processes use
// them, and created again under the same name.
//
// A commit of before a deletion can reach the store at any later time. On some
// stores versions of a key begin anew when it is created again (clause C12 of the
// driver contract), so the commit could then be taken for one of the new document.
// Therefore a document that is created again has another key:
//
//	KIND/NAME/DOCUMENT~N    the document; N never comes again
//	KIND/%floor             deletions: the next N, above that of any deletion
//
// A creation depends on the floor, and a deletion raises it in the same commit. So
// no creation of before a deletion is applied after it either. The floor is of all
// documents of a kind, for a floor of each name would stay as the document would.
package removable

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/internal/document"
)

// format is the number of the format of a floor.
const format = 1

// Floor is what deletions leave behind.
type Floor struct {
	// Deletions is higher than the number of every document that was deleted.
	Deletions uint64 `json:"deletions"`
	// Highest is the highest number that a deleted document had given out.
	Highest uint64 `json:"highest,omitempty"`
}

// Document is the place of a document. Its methods may be called concurrently.
type Document struct {
	store            *backend.Store
	dir, stem, floor string
	known            atomic.Pointer[string] // the key where it was seen last
}

// New returns the place of a document of that name in a directory below a kind.
func New(store *backend.Store, kind backend.Kind, dir, name string) *Document {
	return &Document{store: store, dir: dir, stem: dir + "/" + name + "~", floor: string(kind) + "/%floor"}
}

// Look is a document as it was read, or what its creation depends on.
type Look struct {
	// Key is where it is, or where a creation puts it.
	Key   string
	Entry backend.Entry
	Found bool
	// Floor is as it was read. It is zero if the document was found by its key.
	Floor Floor

	floorKey     string
	floorVersion backend.Version // zero if there is none
}

// Look reads the document. It reads one key where the document was seen before
// and is still there, and otherwise the floor and the directory.
func (d *Document) Look(ctx context.Context) (Look, error) {
	if key := d.known.Load(); key != nil {
		entry, found, err := d.store.Get(ctx, *key)
		if err != nil || found {
			return Look{Key: *key, Entry: entry, Found: found}, err
		}
	}
	return d.search(ctx)
}

// search reads the floor, and after it the directory: a document that was created
// below that floor is in the directory then.
func (d *Document) search(ctx context.Context) (Look, error) {
	read, err := d.store.Read(ctx, backend.Key(d.floor), backend.Dir(d.dir))
	if err != nil {
		return Look{}, err
	}
	l := Look{floorKey: d.floor}
	if len(read[0]) > 0 {
		l.floorVersion = read[0][0].Version
		if err := document.Decode(read[0][0].Value, format, &l.Floor); err != nil {
			return Look{}, fmt.Errorf("%s: %w", d.floor, err)
		}
	}
	for _, entry := range read[1] {
		if _, ok := d.number(entry.Key); ok {
			l.Key, l.Entry, l.Found = entry.Key, entry, true
		}
	}
	if !l.Found {
		l.Key = d.stem + strconv.FormatUint(l.Floor.Deletions, 10)
		return l, nil
	}
	d.known.Store(&l.Key)
	return l, nil
}

// number returns the number in the key of a document of this place.
func (d *Document) number(key string) (uint64, bool) {
	digits, ok := strings.CutPrefix(key, d.stem)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, err == nil
}

// Write is the commit that replaces the document at version. If version is zero it
// creates the document, which was not found. The first operation is the document's.
func (l *Look) Write(value []byte, version backend.Version) backend.Txn {
	if !version.IsZero() {
		return backend.Txn{Ops: []backend.Op{backend.Put(l.Key, value, version)}}
	}
	create := backend.Create(l.Key, value)
	if l.floorVersion.IsZero() {
		return backend.Txn{Ops: []backend.Op{create, backend.Create(l.floorKey, encode(l.Floor))}}
	}
	return backend.Txn{Unchanged: []backend.Condition{{Key: l.floorKey, Version: l.floorVersion}}, Ops: []backend.Op{create}}
}

// Delete deletes the document, if there is one, and raises the floor. It is an
// attempt of an operation that is tried again after an error: the first attempt
// that finds the document notes its key in target, and no attempt deletes another.
// The document is deleted only as it was read. If highest is not nil, the floor
// keeps the number that it returns.
func (d *Document) Delete(ctx context.Context, target *string, highest func(backend.Entry) (uint64, error)) error {
	for {
		l, err := d.search(ctx)
		switch {
		case err != nil:
			return err
		case !l.Found, *target != "" && l.Key != *target:
			return nil
		}
		*target = l.Key
		n, _ := d.number(l.Key)
		raised := Floor{Deletions: max(l.Floor.Deletions, n) + 1, Highest: l.Floor.Highest}
		if highest != nil {
			given, err := highest(l.Entry)
			if err != nil {
				return err
			}
			raised.Highest = max(raised.Highest, given)
		}
		floor := backend.Create(d.floor, encode(raised))
		if !l.floorVersion.IsZero() {
			floor = backend.Put(d.floor, floor.Value, l.floorVersion)
		}
		result, err := d.store.Commit(ctx, backend.Txn{Ops: []backend.Op{floor, backend.Delete(l.Key, l.Entry.Version)}})
		if err != nil || result.Applied {
			return err
		}
	}
}

// encode cannot fail: a floor is of numbers.
func encode(f Floor) []byte {
	data, err := document.Encode(format, f)
	if err != nil {
		panic(err)
	}
	return data
}
