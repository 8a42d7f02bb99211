package election

import (
	"context"
	"errors"
	"path"
	"strings"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
)

// sweepFirst is how soon the sweeper looks again while a commit is unsettled;
// it then doubles.
const sweepFirst = time.Second

// commit is Store.Commit, and takes note when something may land later.
func (e *Election) commit(ctx context.Context, txn backend.Txn) (backend.Result, error) {
	result, err := e.store.Commit(ctx, txn)
	if errors.Is(err, backend.ErrIndeterminate) {
		e.unsettled.Store(true)
	}
	return result, err
}

// joins says under which session the Election campaigns from now on. What was
// sent under an earlier one cannot land any more.
func (e *Election) joins(session *backend.Session) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.joined != session {
		e.joined = session
		e.unsettled.Store(false)
	}
}

// mine reports whether entry, of a queue entry or an office with this nonce,
// belongs to this Election and session.
func (e *Election) mine(entry backend.Entry, nonce string, session *backend.Session) bool {
	return entry.Lease == session.ID() && strings.HasPrefix(nonce, e.instance+"-")
}

// sweep deletes what stands in the store under the session and belongs to no
// campaign of this Election but keep: an entry whose creation landed after it
// was given up, or that a restore brought back. Nobody else can, and it would
// block the queue for as long as the session lives.
func (e *Election) sweep(ctx context.Context, st *state, session *backend.Session, keep string) error {
	strays := make(map[string]bool)
	for _, entry := range st.queue {
		if nonce := path.Base(entry.Key); nonce != keep && e.mine(entry, nonce, session) {
			strays[nonce] = true
		}
	}
	if nonce := st.office.doc.Nonce; st.office.there && nonce != keep && e.mine(st.office.entry, nonce, session) {
		strays[nonce] = true
	}
	for nonce := range strays {
		e.store.Logger().Info("sweeping a stray candidacy", "election", e.name, "nonce", nonce)
		if err := e.clear(ctx, st, session, nonce); err != nil {
			return err
		}
	}
	return nil
}

// clear deletes what st shows of the campaign with nonce: first the office, on
// conditions that hold for no other tenure and once its number is secure, and
// lastly the queue entry.
func (e *Election) clear(ctx context.Context, st *state, session *backend.Session, nonce string) error {
	entry, place := st.entryOf(e.keys.entry(nonce))
	if office := st.office; office.there && office.doc.Nonce == nonce && office.entry.Lease == session.ID() {
		if err := e.secure(ctx, st, session); err != nil {
			return err
		}
		txn := driver.Txn{Ops: []driver.Op{driver.Delete(e.keys.office, office.entry.Version)}}
		if m, ok := st.markOf(office.doc.tenure); ok {
			txn.Unchanged = []driver.Condition{{Key: m.entry.Key, Version: m.entry.Version}}
		}
		if place >= 0 {
			txn.Ops = append(txn.Ops, driver.Delete(entry.Key, entry.Version))
		}
		if result, err := e.commit(ctx, txn); err != nil || result.Applied {
			return err
		}
	}
	_, err := e.commit(ctx, driver.Txn{Ops: []driver.Op{driver.Delete(e.keys.entry(nonce), backend.Version{})}})
	return err
}

// cleanUp clears what a campaign that failed may have left behind. What it
// cannot is left to the sweeper.
func (c *candidate) cleanUp(ctx context.Context) {
	if c.session.Context().Err() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	st, err := c.read(ctx)
	if err != nil {
		// What cannot be read (a document of another format) can be left alone.
		st = new(state)
		c.unsettled.Store(true)
	}
	if c.clear(ctx, st, c.session, c.nonce) != nil {
		c.unsettled.Store(true)
	}
}

// sweeper sweeps for an Election between its campaigns.
type sweeper struct {
	cancel context.CancelFunc
	done   chan struct{}
}

func (e *Election) startSweeper() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.joined == nil || e.joined.Context().Err() != nil || e.sweeper != nil {
		return
	}
	session := e.joined
	ctx, cancel := context.WithCancel(session.Context())
	s := &sweeper{cancel: cancel, done: make(chan struct{})}
	e.sweeper = s
	go func() {
		defer close(s.done)
		defer cancel()
		e.sweepBetween(ctx, session)
	}()
}

func (e *Election) stopSweeper() {
	e.mu.Lock()
	s := e.sweeper
	e.sweeper = nil
	e.mu.Unlock()
	if s != nil {
		s.cancel()
		<-s.done
	}
}

// sweepBetween sweeps when the office calls for it, now and then while a
// commit is unsettled, and every so often anyway, until ctx ends.
func (e *Election) sweepBetween(ctx context.Context, session *backend.Session) {
	wait := time.Duration(0)
	if !e.unsettled.Load() {
		wait = relistEvery
	}
	for {
		if e.waitToSweep(ctx, session, wait) != nil {
			return
		}
		err := e.store.Retry(ctx, e.subject(), "sweep", func(ctx context.Context) error {
			st, err := e.read(ctx)
			if err != nil {
				return err
			}
			return e.sweep(ctx, st, session, "")
		})
		if err != nil {
			return
		}
		wait = min(max(2*wait, sweepFirst), relistEvery)
		if !e.unsettled.Load() {
			wait = relistEvery
		}
	}
}

// waitToSweep waits for d, or until the watch of the office shows an office of
// this Election's, or shows something that cannot have come about in the
// ordinary way: the same again, after the watch had to begin anew, or an older
// office. The store may have been restored then.
func (e *Election) waitToSweep(ctx context.Context, session *backend.Session, d time.Duration) error {
	w, err := e.store.Watch(driver.Key(e.keys.office))
	if err != nil {
		return err
	}
	defer w.Close()
	ctx, cancel := context.WithTimeoutCause(ctx, d, errRelist)
	defer cancel()
	var before []backend.Entry
	for first := true; ; first = false {
		if err := w.Next(ctx); errors.Is(err, errRelist) {
			return nil
		} else if err != nil {
			return err
		}
		now := w.Entries(0)
		if e.showsStray(now, session) || !first && !movedOn(before, now) {
			return nil
		}
		before = now
	}
}

func (e *Election) showsStray(office []backend.Entry, session *backend.Session) bool {
	one, err := decodeOne[officeDocument](office)
	return err == nil && one.there && e.mine(one.entry, one.doc.Nonce, session)
}

func movedOn(before, now []backend.Entry) bool {
	if len(before) == 0 || len(now) == 0 {
		return len(before) != len(now)
	}
	return now[0].Modified > before[0].Modified
}
