package consul

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptrace"
	"sync"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/quorate/quorate/backend/driver"
)

// nowhere follows a path to make a key that cannot exist: "!" has no place in
// one of ours.
const nowhere = "/!"

// Read reads one target after the other, each with a query of its own in mode
// "consistent": the leader has its leadership confirmed by a quorum first. One
// transaction could read them all, but it leaves out without a word what the
// token may not read.
func (d *Driver) Read(ctx context.Context, targets ...driver.Target) ([][]driver.Entry, error) {
	if err := driver.CheckTargets(targets...); err != nil {
		return nil, err
	}
	states, err := d.read(driver.InTurn(ctx), targets)
	if err != nil {
		return nil, driver.Ended(ctx, err)
	}
	entries := make([][]driver.Entry, len(states))
	for i, s := range states {
		entries[i] = s.entries
	}
	return entries, nil
}

// state is what a target was read as, and the index to wait from.
type state struct {
	entries []driver.Entry
	index   uint64
}

// lookTimeout bounds a read that a watch waits for: no caller does, and one
// that hangs on a connection that died in silence would keep others from their
// turn as well.
const lookTimeout = 5 * time.Second

// look reads for a watch.
func look[T any](ctx context.Context, read func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(driver.InTurn(ctx), lookTimeout)
	defer cancel()
	return read(ctx)
}

// read reads targets, again when it finds on the way that the store went back
// in time.
func (d *Driver) read(ctx context.Context, targets []driver.Target) ([]state, error) {
	if len(targets) == 0 {
		return nil, nil
	}
	for {
		m := d.indexes.mark()
		states, stands, err := d.readOnce(ctx, m, targets)
		if err != nil || stands {
			return states, err
		}
	}
}

// readOnce also reports whether m's generation stands.
func (d *Driver) readOnce(ctx context.Context, m mark, targets []driver.Target) ([]state, bool, error) {
	states := make([]state, len(targets))
	stands, known := true, false
	table := func(index uint64) {
		known = true
		stands = d.indexes.table(m, index) && stands
	}
	for i, t := range targets {
		s, err := d.query(ctx, m, t, 0)
		if err != nil {
			return nil, false, err
		}
		states[i] = s
		switch {
		case len(s.entries) > 0:
		case t.Dir:
			// An empty list may be one that was emptied for lack of
			// permission; a single key is refused aloud.
			index, err := d.tableIndex(ctx, t.Path)
			if err != nil {
				return nil, false, err
			}
			table(index)
		default:
			table(s.index)
		}
	}
	if !known {
		index, err := d.tableIndex(ctx, targets[0].Path)
		if err != nil {
			return nil, false, err
		}
		table(index)
	}
	return states, stands, nil
}

// tableIndex reads the index of the whole KV table, by way of a key below path
// that is absent.
func (d *Driver) tableIndex(ctx context.Context, path string) (index uint64, _ error) {
	_, err := d.short(ctx, func(ctx context.Context) error {
		pair, meta, err := d.client.KV().Get(path+nowhere, consistent(ctx))
		if err != nil {
			return err
		}
		if pair != nil {
			return fmt.Errorf("somebody created the key %q", path+nowhere)
		}
		index = meta.LastIndex
		return nil
	})
	if err != nil {
		return 0, classify(err, false, false)
	}
	return index, nil
}

// consistent asks for a linearizable answer.
func consistent(ctx context.Context) *api.QueryOptions {
	q := &api.QueryOptions{RequireConsistent: true}
	return q.WithContext(ctx)
}

// query reads one target, waiting until its index exceeds after if that is
// not zero.
func (d *Driver) query(ctx context.Context, m mark, t driver.Target, after uint64) (s state, _ error) {
	var pairs api.KVPairs
	ask := func(ctx context.Context) (err error) {
		options := consistent(ctx)
		var meta *api.QueryMeta
		if after > 0 {
			options.WaitIndex, options.WaitTime = after, d.opts.Wait
		}
		if t.Dir {
			pairs, meta, err = d.client.KV().List(t.Path+"/", options)
		} else {
			var pair *api.KVPair
			if pair, meta, err = d.client.KV().Get(t.Path, options); pair != nil {
				pairs = api.KVPairs{pair}
			}
		}
		if err != nil {
			return err
		}
		if meta.ResultsFilteredByACLs {
			return api.StatusError{Code: 403, Body: fmt.Sprintf("keys below %q were left out of a list: Permission denied", t.Path)}
		}
		s.index = meta.LastIndex
		return nil
	}
	var err error
	if after == 0 {
		_, err = d.short(ctx, ask)
	} else {
		err = d.patiently(ctx, ask)
	}
	if err != nil {
		return state{}, classify(err, false, false)
	}
	s.entries = d.entries(m, t, pairs)
	return s, nil
}

// patiently runs a blocking query: as long as the server may take by its own
// rules (it adds up to a sixteenth to the wait), and a grace, but no longer. Each
// time that it was sent and not answered the server may keep one: the client
// sends it again by itself where the connection was used before and broke. A
// query that the server refuses for load is asked again in its turn.
func (d *Driver) patiently(ctx context.Context, ask func(context.Context) error) (err error) {
	notSent := d.pacer.Do(ctx, func() bool {
		err = d.patientlyOnce(ctx, ask)
		return overloaded(err)
	})
	return errors.Join(notSent, err)
}

func (d *Driver) patientlyOnce(ctx context.Context, ask func(context.Context) error) error {
	grace := max(d.opts.Wait/8, time.Second)
	wait := d.opts.Wait + d.opts.Wait/16
	ctx, cancel := context.WithTimeout(ctx, wait+grace)
	defer cancel()
	var mu sync.Mutex
	var unanswered []time.Time // until when each is kept
	err := ask(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) {
			mu.Lock()
			defer mu.Unlock()
			unanswered = append(unanswered, time.Now().Add(wait))
		},
	}))
	mu.Lock()
	defer mu.Unlock()
	if n := len(unanswered); answered(err) && n > 0 {
		unanswered = unanswered[:n-1]
	}
	d.queries.abandon(unanswered...)
	return err
}

// answered reports whether a server gave an answer, if only a refusal.
func answered(err error) bool {
	var status api.StatusError
	return err == nil || errors.As(err, &status)
}

// entries picks from pairs what belongs to t, by key.
func (d *Driver) entries(m mark, t driver.Target, pairs api.KVPairs) []driver.Entry {
	entries := make([]driver.Entry, 0, len(pairs))
	for _, p := range pairs {
		d.indexes.saw(m, p.ModifyIndex)
		if !t.Covers(p.Key) {
			continue
		}
		entries = append(entries, driver.Entry{
			Key: p.Key, Value: p.Value, Created: p.CreateIndex, Modified: p.ModifyIndex,
			Version: driver.Version{Generation: m.generation, Number: p.ModifyIndex},
			Lease:   p.Session,
		})
	}
	driver.SortEntries(entries)
	return entries
}
