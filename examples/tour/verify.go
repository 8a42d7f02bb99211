package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/counter"
	"github.com/quorate/quorate/restart"
)

// verify compares what the store holds with what the workers have reported.
// All of them have ended.
func (s *stage) verify(ctx context.Context) error {
	for _, check := range []func(context.Context) error{s.verifyItems, s.verifyTenures, s.verifySum} {
		if err := check(ctx); err != nil {
			return err
		}
	}
	return nil
}

// verifyItems reads all items in the order in which the store saw them done:
// none is missing, and the terms never go back.
func (s *stage) verifyItems(ctx context.Context) error {
	read, err := s.store.Read(ctx, driver.Dir("work"))
	if err != nil {
		return err
	}
	entries := read[0]
	slices.SortFunc(entries, func(a, b backend.Entry) int { return cmp.Compare(a.Created, b.Created) })
	var last uint64
	for i, entry := range entries {
		if item := path.Base(entry.Key); item != strconv.Itoa(i+1) {
			return fmt.Errorf("item %s was done where item %d was due", item, i+1)
		}
		term, err := strconv.ParseUint(string(entry.Value), 10, 64)
		if err != nil {
			return err
		}
		if term < last {
			return fmt.Errorf("item %d of term %d came after one of term %d", i+1, term, last)
		}
		last = term
	}
	for _, span := range spans(entries) {
		s.line.say("store", "%s", span)
	}
	progress, err := restart.NewCheckpoint[int64](s.store, "items", nil)
	if err != nil {
		return err
	}
	done, _, err := progress.Claim(ctx)
	if err != nil {
		return err
	}
	if done != int64(len(entries)) {
		return fmt.Errorf("%d items are done, and the checkpoint says %d", len(entries), done)
	}
	s.line.say("tour", "%d items, each once, and after the first of a term never one of an earlier term", done)
	return nil
}

// spans says which items each term has done.
func spans(entries []backend.Entry) []string {
	var lines []string
	for from := 0; from < len(entries); {
		term, to := string(entries[from].Value), from
		for to < len(entries) && string(entries[to].Value) == term {
			to++
		}
		lines = append(lines, fmt.Sprintf("term %s: items %d to %d", term, from+1, to))
		from = to
	}
	return lines
}

// verifyTenures asks the leaders' own words: whether two led at once, and
// whether each began where the one before was acknowledged, or one item later
// if that one could not tell any more.
func (s *stage) verifyTenures(context.Context) error {
	terms := slices.Sorted(maps.Keys(s.tenures))
	if len(terms) != 4 {
		return fmt.Errorf("the terms %d, where four have led", terms)
	}
	for i, term := range terms[1:] {
		before, next := s.tenures[terms[i]], s.tenures[term]
		if before.until == 0 {
			return fmt.Errorf("the leader of term %d never held itself for it", terms[i])
		}
		if overlap := time.Duration(before.until - next.from); overlap >= 0 {
			return fmt.Errorf("the leader of term %d held itself for the leader until %v after term %d began", terms[i], overlap, term)
		}
		if next.begin < before.done || next.begin > before.done+1 {
			return fmt.Errorf("term %d began after item %d, and item %d was the last acknowledged", term, next.begin, before.done)
		}
	}
	s.line.say("tour", "by the leaders' own reports, none began while the one before held itself for the leader,")
	s.line.say("tour", "and each with the item after the last that was acknowledged to the one before")
	return nil
}

// verifySum compares the counter with the adds that were acknowledged. Beyond
// them it may hold the one add of the killed worker that was under way.
func (s *stage) verifySum(ctx context.Context) error {
	c, err := counter.New(s.store, "sum", nil)
	if err != nil {
		return err
	}
	value, err := c.Value(ctx)
	if err != nil {
		return err
	}
	var sum, adds int64
	var fate string
	for _, w := range s.workers {
		sum += w.counted * (w.counted + 1) / 2
		adds += w.counted
	}
	s.line.say("tour", "%d adds were acknowledged, %d in sum; the counter says %d", adds, sum, value)
	for _, w := range s.workers {
		switch {
		case w.begun == w.counted:
		case w.cmd.ProcessState.ExitCode() == restart.ExitClean:
			return fmt.Errorf("%s has ended in the middle of its add of %d", w.id, w.begun)
		case value == sum+w.begun:
			sum += w.begun
			fate = fmt.Sprintf("and the add of %d that %s had under way when killed, once", w.begun, w.id)
		default:
			fate = fmt.Sprintf("and the add of %d that %s had under way when killed was not applied", w.begun, w.id)
		}
	}
	if value != sum {
		return fmt.Errorf("the counter says %d, and %d was added", value, sum)
	}
	if fate == "" {
		fate = "and nothing was under way when a worker was killed"
	}
	s.line.say("tour", "the total is exact: each acknowledged add once, %s", fate)
	return nil
}
