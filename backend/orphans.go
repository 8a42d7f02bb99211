package backend

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

const (
	// orphanFirst is the first pause between two looks for an orphan; each pause
	// is twice as long as the one before.
	orphanFirst = time.Second
	// orphanRare is the longest pause.
	orphanRare = 10 * time.Minute
	// orphanSpread spreads the looks of many processes after an event that all
	// of them notice.
	orphanSpread = 500 * time.Millisecond
	// orphanBatch is how many directories one Read takes.
	orphanBatch = 16
)

// Claimant is an object that creates ephemeral keys in a directory: an election
// its candidacies, a group its entries, a partition its claims.
//
// An orphan is an ephemeral key under the Store's session that no Claimant of
// its directory claims. Its creation was applied after it was given up, or a
// restore brought it back. No other process can delete it, and it would stay as
// long as the session. The Store collects orphans. It does so only in
// directories for which GaveUp was called under the present session.
type Claimant struct {
	store  *Store
	dir    string
	claims func(Entry) bool
	remove func(context.Context, Entry) error
}

// NewClaimant registers an object that creates ephemeral keys with unique names
// in dir. The function claims reports whether the object uses a key. It must
// report true from before the key's creation is sent until the key was deleted
// or given up, and it must not block. The function remove deletes an orphan; if
// it is nil the key is deleted whatever its state. NewClaimant does no I/O.
func (s *Store) NewClaimant(dir string, claims func(Entry) bool, remove func(context.Context, Entry) error) *Claimant {
	if remove == nil {
		remove = s.removeOrphan
	}
	c := &Claimant{store: s, dir: dir, claims: claims, remove: remove}
	o := &s.orphans
	o.mu.Lock()
	defer o.mu.Unlock()
	d := o.of(c)
	d.claimants = append(d.claimants, c)
	return c
}

// GaveUp says that the object no longer claims a key that was created under
// session, or may have been. Set soon if an orphan may exist at any time: the
// creation is in doubt, or the object has seen one. The Store then looks at
// once, and again after pauses that double.
//
// Otherwise only a restore can bring the key back. The Store looks once if
// there was an orphan under the session, when the driver begins a new
// generation, and when a renewal counts after others failed. It also looks
// every ten to fifteen minutes. All this ends with the session, and continues
// until then even after Close.
func (c *Claimant) GaveUp(session *Session, soon bool) {
	if session == nil || session.Context().Err() != nil {
		return // its keys go with it
	}
	o := &c.store.orphans
	o.mu.Lock()
	defer o.mu.Unlock()
	d := o.of(c)
	now := time.Now()
	if d.session != session {
		d.session, d.pause, d.failing = session, orphanRare, false
		d.schedule(now)
	}
	if soon && !d.failing {
		d.pause, d.next = orphanFirst/2, now // doubled by the look
	} else if generation, _ := c.store.driver.Generation(); generation != session.generation {
		// The restore may have come between the key's deletion and this call.
		d.suspect(now)
	}
	if o.session == session {
		o.notify()
		return
	}
	wake := make(chan struct{}, 1)
	if c.store.background.Go(func() { o.collect(session, wake) }) {
		o.session, o.wake = session, wake
	}
}

// Close ends the claims of the object. The Store may delete the keys that it
// still claims at any time.
func (c *Claimant) Close() {
	o := &c.store.orphans
	o.mu.Lock()
	defer o.mu.Unlock()
	if d := o.dirs[c.dir]; d != nil {
		d.claimants = slices.DeleteFunc(d.claimants, func(other *Claimant) bool { return other == c })
		o.forget(d)
	}
}

// orphans is the Store's orphan collector. Its goroutine runs only while an
// orphan may be somewhere.
type orphans struct {
	store *Store

	mu      sync.Mutex            // guards the fields below and those of each orphanDir
	dirs    map[string]*orphanDir // by path
	session *Session              // that the collector runs for; nil if it does not
	wake    chan struct{}         // holds one token at most: a directory may be due
}

// orphanDir is a directory in which orphans may be. Of an object that has ended
// it is all that is kept.
type orphanDir struct {
	path      string
	remove    func(context.Context, Entry) error
	claimants []*Claimant
	session   *Session      // an orphan may be there under this one; nil if none may
	next      time.Time     // the next look
	pause     time.Duration // from that to the one after it
	failing   bool          // the last look failed
}

func (o *orphans) init(s *Store) {
	o.store = s
	o.dirs = make(map[string]*orphanDir)
}

// of returns the directory of a Claimant. The lock is held.
func (o *orphans) of(c *Claimant) *orphanDir {
	d := o.dirs[c.dir]
	if d == nil {
		d = &orphanDir{path: c.dir}
		o.dirs[c.dir] = d
	}
	d.remove = c.remove
	return d
}

// notify has the collector look what is due, if it runs. The lock is held.
func (o *orphans) notify() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// forget drops a directory that has neither claimants nor orphans. The lock is
// held.
func (o *orphans) forget(d *orphanDir) {
	if len(d.claimants) == 0 && d.session == nil {
		delete(o.dirs, d.path)
	}
}

// schedule sets the next look one pause from now, and half as much at random.
func (d *orphanDir) schedule(now time.Time) { d.next = now.Add(d.pause + rand.N(d.pause/2)) }

// suspect has the directory looked at soon. The lock is held.
func (d *orphanDir) suspect(now time.Time) {
	if next := now.Add(rand.N(orphanSpread)); next.Before(d.next) {
		d.next = next
	}
}

// suspect has every directory looked at soon: the store may have been restored.
func (o *orphans) suspect() {
	o.mu.Lock()
	defer o.mu.Unlock()
	next := time.Now().Add(rand.N(orphanSpread)) // for all of them, so that they share a Read
	for _, d := range o.dirs {
		if d.session != nil {
			d.next = next
		}
	}
	o.notify()
}

// collect deletes the orphans of a session until it ends.
func (o *orphans) collect(session *Session, wake <-chan struct{}) {
	defer o.ended(session)
	generation := session.generation
	for {
		now, changed := o.store.driver.Generation()
		if now != generation {
			generation = now
			o.suspect()
		}
		timer := time.NewTimer(time.Until(o.due(session)))
		select {
		case <-session.Context().Done():
			timer.Stop()
			return
		case <-changed:
		case <-wake:
		case <-timer.C:
			o.look(session)
		}
		timer.Stop()
	}
}

// ended takes note that a session is over: its keys go with it.
func (o *orphans) ended(session *Session) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.session == session {
		o.session = nil
	}
	for _, d := range o.dirs {
		if d.session == session {
			d.session = nil
			o.forget(d)
		}
	}
}

// due returns when the next look is.
func (o *orphans) due(session *Session) time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	due := time.Now().Add(2 * orphanRare)
	for _, d := range o.dirs {
		if d.session == session && d.next.Before(due) {
			due = d.next
		}
	}
	return due
}

// look looks at the directories that are due. Those that share a Read which
// fails are looked at by themselves after that: each has a pause of its own.
func (o *orphans) look(session *Session) {
	o.mu.Lock()
	var due []*orphanDir
	for _, d := range o.dirs {
		if d.session == session && !d.next.After(time.Now()) {
			due = append(due, d)
		}
	}
	o.mu.Unlock()
	ctx := session.Context()
	for batch := range slices.Chunk(due, orphanBatch) {
		targets := make([]Target, len(batch))
		for i, d := range batch {
			targets[i] = Dir(d.path)
		}
		read, err := o.store.Read(ctx, targets...)
		for i, d := range batch {
			failed := err
			if err == nil {
				failed = o.remove(ctx, session, d, read[i])
			}
			o.looked(d, failed)
		}
	}
}

// remove deletes those of entries that are orphans.
func (o *orphans) remove(ctx context.Context, session *Session, d *orphanDir, entries []Entry) error {
	for _, e := range entries {
		if e.Lease != session.ID() {
			continue
		}
		o.mu.Lock()
		claimants, remove := slices.Clone(d.claimants), d.remove
		o.mu.Unlock()
		if slices.ContainsFunc(claimants, func(c *Claimant) bool { return c.claims(e) }) {
			continue
		}
		o.store.opts.Logger.Info("deleting an orphan", "key", e.Key, "session", session.ID())
		err := remove(ctx, e)
		if errors.Is(err, ErrDenied) {
			// It may block others for as long as the session lasts.
			err = o.store.CleanUp(ctx, session, Subject{Kind: KindSession}, "delete orphan", func(ctx context.Context) error {
				return remove(ctx, e)
			})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) removeOrphan(ctx context.Context, e Entry) error {
	_, err := s.Commit(ctx, Txn{Ops: []Op{Delete(e.Key, Version{})}})
	return err
}

// looked sets when a directory is looked at again. Pauses after a failure begin
// with the shortest, and double like the others.
func (o *orphans) looked(d *orphanDir, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if d.session == nil || d.session.Context().Err() != nil {
		return
	}
	if err != nil && !d.failing {
		d.pause = orphanFirst
	} else {
		d.pause = min(2*d.pause, orphanRare)
	}
	d.failing = err != nil
	d.schedule(time.Now())
	if err != nil {
		o.store.opts.Logger.Warn("orphans could not be collected", "directory", d.path, "pause", d.pause, "error", err)
	}
}
