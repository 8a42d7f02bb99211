package main

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strconv"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/counter"
	"github.com/quorate/quorate/election"
	"github.com/quorate/quorate/partition"
)

// submit puts jobs into the inbox, under numbers that nobody else gets. An
// error of backend.ErrIndeterminate says that the last one may be there.
func (s *scheduler) submit(ctx context.Context, jobs int) error {
	ids, err := counter.NewSequence(s.store, "jobs", nil)
	if err != nil {
		return err
	}
	defer ids.Close()
	for range jobs {
		id, err := ids.Next(ctx)
		if err != nil {
			return err
		}
		job := fmt.Sprintf("%012d", id) // in the order of their keys
		_, err = s.store.Commit(ctx, backend.Txn{Ops: []backend.Op{driver.Create(inbox+"/"+job, []byte("a job"))}})
		if err != nil {
			return err
		}
		fmt.Printf("submitted job %s\n", job)
	}
	return nil
}

// plan gives jobs to slots, while this process leads.
func (s *scheduler) plan(ctx context.Context, lead *election.Leadership) error {
	fmt.Printf("planning, term %d\n", lead.Term())
	news, err := s.store.Watch(driver.Dir(inbox))
	if err != nil {
		return err
	}
	defer news.Close()
	for {
		if err := news.Next(ctx); err != nil {
			return err
		}
		waiting, _, err := s.look(ctx)
		if err != nil {
			return err
		}
		for _, job := range news.Entries(0) {
			least := 0
			for slot := range waiting {
				if len(waiting[slot]) < len(waiting[least]) {
					least = slot
				}
			}
			// A job that has left the inbox since, by this leader's own commit
			// whose reply was lost for one, is not there to be deleted, so it is
			// not given to a second slot.
			result, err := s.store.Commit(ctx, backend.Txn{Ops: []backend.Op{
				driver.Delete(job.Key, job.Version),
				driver.Create(slotDir(least)+"/"+path.Base(job.Key), job.Value),
			}}, lead.Guard())
			switch {
			case errors.Is(err, backend.ErrIndeterminate):
				// Given, or in the inbox still: the watch tells.
			case err != nil:
				return err
			case result.Applied:
				waiting[least] = append(waiting[least], job)
				fmt.Printf("planned job %s for slot %d, term %d\n", path.Base(job.Key), least, lead.Term())
			}
		}
	}
}

// work does the jobs of one slot, one after the other.
//
// What a crash leaves half done is done again by whoever has the slot next. It
// is counted once all the same, because the job goes and the count grows in one
// commit. A job that does something outside the store hands slot.Token() on.
func (s *scheduler) work(ctx context.Context, slot *partition.Slot) error {
	jobs, err := s.store.Watch(driver.Dir(slotDir(slot.Number())), driver.Key(doneKey(slot.Number())))
	if err != nil {
		return err
	}
	defer jobs.Close()
	for {
		if err := jobs.Next(ctx); err != nil {
			return err
		}
		for len(jobs.Entries(0)) > 0 {
			// What the watch shows may be old news: the job was done.
			found, err := s.store.Read(ctx, driver.Dir(slotDir(slot.Number())), driver.Key(doneKey(slot.Number())))
			if err != nil {
				return err
			}
			if len(found[0]) == 0 {
				break
			}
			if err := s.do(ctx, slot, found[0][0], found[1]); err != nil {
				return err
			}
		}
	}
}

// do does one job and counts it.
func (s *scheduler) do(ctx context.Context, slot *partition.Slot, job backend.Entry, count []backend.Entry) error {
	done, err := number(count)
	if err != nil {
		return err
	}
	timer := time.NewTimer(s.takes) // the job goes here
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
	}
	fmt.Printf("slot %d, token %d: job %s\n", slot.Number(), slot.Token(), path.Base(job.Key))
	value := strconv.AppendInt(nil, done+1, 10)
	counted := driver.Create(doneKey(slot.Number()), value)
	if len(count) > 0 {
		counted = driver.Put(doneKey(slot.Number()), value, count[0].Version)
	}
	// Under Drain: what is done is counted, also if the slot is to move.
	_, err = s.store.Commit(slot.Drain(), backend.Txn{Ops: []backend.Op{driver.Delete(job.Key, job.Version), counted}}, slot.Guard())
	if errors.Is(err, backend.ErrIndeterminate) {
		return nil // counted, or there still: the next read tells
	}
	return err
}

// number returns what a count says, zero if there is none yet.
func number(count []backend.Entry) (int64, error) {
	if len(count) == 0 {
		return 0, nil
	}
	return strconv.ParseInt(string(count[0].Value), 10, 64)
}

// look returns the jobs that wait for each slot, and how many each has done.
func (s *scheduler) look(ctx context.Context) (waiting [][]backend.Entry, done int64, err error) {
	var targets []backend.Target
	for slot := range s.slots {
		targets = append(targets, driver.Dir(slotDir(slot)), driver.Key(doneKey(slot)))
	}
	found, err := s.store.Read(ctx, targets...)
	if err != nil {
		return nil, 0, err
	}
	for slot := range s.slots {
		n, err := number(found[2*slot+1])
		if err != nil {
			return nil, 0, err
		}
		waiting, done = append(waiting, found[2*slot]), done+n
	}
	return waiting, done, nil
}

// status says how many jobs there are.
func (s *scheduler) status(ctx context.Context) error {
	found, err := s.store.Read(ctx, driver.Dir(inbox))
	if err != nil {
		return err
	}
	waiting, done, err := s.look(ctx)
	if err != nil {
		return err
	}
	planned := 0
	for _, jobs := range waiting {
		planned += len(jobs)
	}
	fmt.Printf("%d in the inbox, %d planned, %d done\n", len(found[0]), planned, done)
	return nil
}
