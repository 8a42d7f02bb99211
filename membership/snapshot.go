package membership

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/internal/document"
)

const (
	// saveEvery is the shortest time between two writes of the snapshot.
	saveEvery = time.Second
	// refreshEvery is how old the snapshot gets while the view is current.
	refreshEvery = time.Minute
	// maxSnapshotBytes bounds what is read: 64 MiB is beyond any group.
	maxSnapshotBytes = 64 << 20
)

// snapshot is the body of a SnapshotFile. In the file it comes after a line
// with the SHA-256 of it, in hexadecimal.
type snapshot struct {
	Namespace string           `json:"namespace"`
	Group     string           `json:"group"`
	AsOf      time.Time        `json:"as_of"` // by the wall clock
	Members   []snapshotMember `json:"members"`
}

type snapshotMember struct {
	entryDocument
	Registration string `json:"registration"`
	Rank         uint64 `json:"rank"`
}

var errSnapshot = errors.New("not a snapshot of this group")

// load begins with the members that the snapshot shows, if it can be used; g.mu
// is held.
func (g *Group) load() {
	s, err := g.readSnapshot()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return
	case err != nil:
		g.store.Logger().Warn("membership: the snapshot is ignored", "group", g.name, "file", g.opts.SnapshotFile, "error", err)
		return
	}
	for _, sm := range s.Members {
		m := sm.member(sm.Registration)
		m.rank, m.update = sm.Rank, sm.Update
		g.roster.shown = append(g.roster.shown, m)
	}
	slices.SortFunc(g.roster.shown, byID)
	g.loaded = s.AsOf
	g.number++
}

func (g *Group) readSnapshot() (*snapshot, error) {
	info, err := os.Stat(g.opts.SnapshotFile)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxSnapshotBytes {
		return nil, fmt.Errorf("%w: it has %d bytes", errSnapshot, info.Size())
	}
	data, err := os.ReadFile(g.opts.SnapshotFile)
	if err != nil {
		return nil, err
	}
	sum, body, _ := bytes.Cut(data, []byte("\n"))
	if want := sha256.Sum256(body); string(sum) != hex.EncodeToString(want[:]) {
		return nil, fmt.Errorf("%w: its checksum is wrong", errSnapshot)
	}
	var s snapshot
	if err := document.Decode(body, format, &s); err != nil {
		return nil, err
	}
	if s.Namespace != g.store.Namespace() || s.Group != g.name {
		return nil, fmt.Errorf("%w: it is of %q in %q", errSnapshot, s.Group, s.Namespace)
	}
	return &s, nil
}

// save writes snapshots until the group ends.
func (g *Group) save() {
	for failing := false; ; {
		timer := time.NewTimer(refreshEvery)
		select {
		case <-g.saves:
		case <-timer.C:
		case <-g.life.Done():
			timer.Stop()
			return
		}
		timer.Stop()
		err := g.writeSnapshot()
		if err != nil && !failing {
			g.store.Logger().Warn("membership: the snapshot could not be written", "group", g.name, "file", g.opts.SnapshotFile, "error", err)
		}
		failing = err != nil
		if backend.Sleep(g.life, saveEvery) != nil {
			return
		}
	}
}

// writeSnapshot writes the present view, unless it is stale: the file is as
// good then.
func (g *Group) writeSnapshot() error {
	g.mu.Lock()
	now := time.Now()
	v := g.view(now)
	g.mu.Unlock()
	if v.Stale {
		return nil
	}
	s := snapshot{Namespace: g.store.Namespace(), Group: g.name, AsOf: now.Add(-v.Age).UTC()}
	for _, m := range v.Members {
		s.Members = append(s.Members, snapshotMember{
			entryDocument: entryDocument{
				ID: m.ID, Addr: m.Addr, Meta: m.Meta, Incarnation: m.Incarnation,
				Update: m.update, TTLMillis: m.TTL.Milliseconds(),
			},
			Registration: m.Registration, Rank: m.rank,
		})
	}
	body, err := document.Encode(format, s)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	return replaceFile(g.opts.SnapshotFile, []byte(hex.EncodeToString(sum[:])+"\n"), body)
}

// replaceFile puts a file with these parts in place of what is at path, in one
// step: a crash leaves the one or the other.
func replaceFile(path string, parts ...[]byte) error {
	f, err := os.OpenFile(path+".tmp", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	for _, part := range parts {
		if err == nil {
			_, err = f.Write(part)
		}
	}
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
