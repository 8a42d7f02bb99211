package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/election"
	"github.com/quorate/quorate/restart"
)

// lead does the work of which there is one at a time: numbered items, one after
// the other, whoever leads.
func (j *job) lead(ctx context.Context) error {
	e, err := election.New(j.store, "leader", &election.Options{ID: j.ID})
	if err != nil {
		return err
	}
	progress, err := restart.NewCheckpoint[int64](j.store, "items", nil)
	if err != nil {
		return err
	}
	return e.Run(ctx, func(ctx context.Context, lead *election.Leadership) error {
		j.report(event{Kind: leading, Term: lead.Term(), At: time.Now().UnixNano()})
		item, _, err := progress.Claim(ctx, lead.Guard())
		if err == nil {
			j.report(event{Kind: resumed, Term: lead.Term(), N: item})
			item, err = j.items(ctx, lead, progress, item)
		}
		if errors.Is(err, backend.ErrFenced) {
			<-ctx.Done() // the store knew first that the term is over
		}
		cause := context.Cause(ctx)
		if ctx.Err() == nil {
			return err
		}
		j.report(event{Kind: ended, Term: lead.Term(), Text: cause.Error()})
		if errors.Is(cause, election.ErrLost) {
			j.tooLate(ctx, lead, progress, item+1)
		}
		return cause
	})
}

// items does the items after the last one done, until ctx ends or one fails,
// and returns the last one that it has done.
func (j *job) items(ctx context.Context, lead *election.Leadership, progress *restart.Checkpoint[int64], last int64) (int64, error) {
	for ctx.Err() == nil {
		// The clock first: between an answer and a look at the clock the
		// process may be paused.
		if now := time.Now(); lead.Valid() {
			j.report(event{Kind: trusted, Term: lead.Term(), At: now.UnixNano()})
		}
		// An item that was begun is finished. That is safe: the guard, not the
		// context, keeps it from being done when the term is over.
		late, cancel := finishing(ctx)
		err := j.do(late, lead, progress, last+1)
		cancel()
		if err != nil {
			return last, err
		}
		last++
		j.report(event{Kind: saved, Term: lead.Term(), N: last})
		pause(ctx)
	}
	return last, nil
}

// do does an item and saves that it is done. The effect comes first, and doing
// it again does no harm: who dies before the save leaves the item to the next.
func (j *job) do(ctx context.Context, lead *election.Leadership, progress *restart.Checkpoint[int64], item int64) error {
	term := []byte(strconv.FormatUint(lead.Term(), 10))
	effect := driver.Txn{Ops: []driver.Op{driver.Create(fmt.Sprintf("work/%d", item), term)}}
	for {
		_, err := j.store.Commit(ctx, effect, lead.Guard()) // not applied: it was done already
		if err == nil {
			break
		}
		again := errors.Is(err, backend.ErrIndeterminate) || errors.Is(err, backend.ErrUnavailable)
		if !again || ctx.Err() != nil {
			return err
		}
	}
	return progress.Save(ctx, item)
}

// tooLate does one more item when the term is over, as code would that does
// not heed its context.
func (j *job) tooLate(ctx context.Context, lead *election.Leadership, progress *restart.Checkpoint[int64], item int64) {
	late, cancel := finishing(ctx)
	defer cancel()
	switch err := j.do(late, lead, progress, item); {
	case errors.Is(err, backend.ErrFenced):
		j.report(event{Kind: refused, Term: lead.Term(), N: item, Text: err.Error()})
	case err == nil:
		j.report(event{Kind: applied, Term: lead.Term(), N: item})
	default:
		j.report(event{Kind: failed, Term: lead.Term(), N: item, Text: err.Error()})
	}
}
