package main

import (
	"context"

	"github.com/quorate/quorate/counter"
)

// count adds 1, 2, 3 and so on to a counter that all workers share, and says
// so before and after each.
func (j *job) count(ctx context.Context) error {
	c, err := counter.New(j.store, "sum", nil)
	if err != nil {
		return err
	}
	for n := int64(1); ctx.Err() == nil; n++ {
		j.report(event{Kind: adding, N: n})
		// An add that was sent is waited for while the process drains, so that
		// it ends with nothing in doubt.
		late, cancel := finishing(ctx)
		_, err := c.Add(late, n)
		cancel()
		if err != nil {
			return err
		}
		j.report(event{Kind: added, N: n})
		pause(ctx)
	}
	return context.Cause(ctx)
}
