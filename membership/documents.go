package membership

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/internal/document"
)

// format is the number of the formats of the documents below.
const format = 1

// leftSuffix ends the name of the mark that a Leave puts in place of an entry.
// No nonce is spelled like it.
const leftSuffix = "~left"

// directory returns where a group keeps its state: one directory, so that a
// watch of it shows an entry go and its mark come at one instant.
//
//	<id>~<nonce>       ephemeral, one per registration, its nonce never used again
//	<id>~<nonce>~left  persistent, in place of an entry that was left
func directory(name string) (string, error) {
	base, err := backend.Path(backend.KindMembership, name)
	return base + "/members", err
}

// entryDocument is the value of an entry. Its ID is in its key too; here it is
// as the user wrote it.
type entryDocument struct {
	ID          string            `json:"id"`
	Addr        string            `json:"addr,omitempty"`
	Meta        map[string]string `json:"meta,omitempty"`
	Incarnation string            `json:"incarnation"`
	// Since is the revision at which the incarnation first came to the store,
	// zero in its first entry: an incarnation that comes back after another
	// has taken its ID is still the older one.
	Since uint64 `json:"since,omitempty"`
	// Update counts the updates of this incarnation, so that no two values of
	// an entry are equal: a put of equal bytes would leave the version, and an
	// earlier put that lands late would be applied after it.
	Update    uint64 `json:"update"`
	TTLMillis int64  `json:"ttl_ms"`
}

// leftDocument is the value of a mark.
type leftDocument struct {
	ID          string `json:"id"`
	Incarnation string `json:"incarnation"`
	// Since is when the incarnation first came to the store, if it knew: what
	// came to the ID before is dead.
	Since uint64 `json:"since,omitempty"`
}

// encode cannot fail: the documents are of strings and numbers.
func encode(v any) []byte {
	data, err := document.Encode(format, v)
	if err != nil {
		panic(err)
	}
	return data
}

// record is an entry or a mark as it was read. It is never changed.
type record struct {
	name     string // the last component of its key
	id       string
	left     bool
	doc      entryDocument
	created  uint64
	modified uint64
	version  backend.Version
	lease    string
	seen     time.Time // when this process first saw it
}

var errName = errors.New("not a name of this package")

// parse reads an entry of the directory.
func parse(dir string, e backend.Entry) (*record, error) {
	r := &record{
		name: strings.TrimPrefix(e.Key, dir+"/"), created: e.Created, modified: e.Modified,
		version: e.Version, lease: e.Lease,
	}
	name, left := strings.CutSuffix(r.name, leftSuffix)
	at := strings.LastIndexByte(name, '~')
	if at < 0 {
		return nil, fmt.Errorf("%q: %w", e.Key, errName)
	}
	var err error
	if r.id, err = url.PathUnescape(name[:at]); err != nil {
		return nil, fmt.Errorf("%q: %w", e.Key, errName)
	}
	if r.left = left; left {
		var doc leftDocument
		err = document.Decode(e.Value, format, &doc)
		r.doc = entryDocument{ID: doc.ID, Incarnation: doc.Incarnation, Since: doc.Since}
	} else {
		err = document.Decode(e.Value, format, &r.doc)
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("%q: %w", e.Key, err)
	case r.doc.ID != r.id || r.doc.Incarnation == "":
		return nil, fmt.Errorf("%q: %w: it names the member %q of incarnation %q", e.Key, backend.ErrFormat, r.doc.ID, r.doc.Incarnation)
	}
	return r, nil
}

// rank orders the incarnations of an ID by when they first came to the store.
func (r *record) rank() uint64 {
	switch {
	case r.foreign():
		return 0
	case r.doc.Since > 0:
		return r.doc.Since
	case r.left: // created after others may have come to the ID
		return 0
	default:
		return r.created
	}
}

// foreign reports whether an incarnation first came to the store in another
// history of it, one that was wiped or restored since: when, says nothing now.
// It is taken for older than one that came in this history, which may have
// taken its place meanwhile.
func (r *record) foreign() bool { return r.doc.Since > r.created }

// newer orders the entries of one ID: what comes last is who has the ID.
func newer(a, b *record) int {
	rank := cmp.Compare(a.rank(), b.rank())
	if rank == 0 && a.foreign() && b.foreign() {
		rank = cmp.Compare(a.doc.Since, b.doc.Since) // perhaps of the same history
	}
	return cmp.Or(rank, cmp.Compare(a.created, b.created), cmp.Compare(a.name, b.name))
}

// member is what users see of a document.
func (d *entryDocument) member(name string) Member {
	return Member{
		ID: d.ID, Addr: d.Addr, Meta: d.Meta,
		Incarnation: d.Incarnation, Registration: name,
		TTL: time.Duration(d.TTLMillis) * time.Millisecond,
	}
}
