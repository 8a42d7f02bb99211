// Package ids hands out time-ordered IDs that no other process gets, without I/O.
//
//	workers, err := lock.NewSemaphore(store, "orders", ids.MaxNodes, nil)
//	if err != nil {
//		return err
//	}
//	return workers.Do(ctx, func(ctx context.Context, held *lock.Held) error {
//		orders, err := ids.New(store, "orders", held, nil) // the permit is the node number
//		if err != nil {
//			return err
//		}
//		defer orders.Close()
//		return serve(ctx, orders) // calls orders.Next(ctx)
//	})
//
// An [ID] has 63 bits: 41 of time (milliseconds since 2026), 10 of the node number,
// 12 of a count within the millisecond. It fits into the bigint of a database. The
// layout is that of Twitter's Snowflake.
//
// # Guarantees
//
// No two calls of Next return the same ID, in all processes that use the name,
// while clocks jump, processes pause and restart, and node numbers change hands.
// Uniqueness does not depend on clocks, nor on when a process learns that it lost
// its node number: a generator uses only times that it has reserved in the store. The
// next holder of the number starts above the time that its predecessor reserved.
//
// Within a generator IDs grow: a call that begins after another has returned gets a
// higher one. Across processes they are ordered as well as the clocks agree.
//
// A generator's time never goes back. It follows the clock of the process when that
// is set forward, and not when that is set back.
//
// # Mistakes to avoid
//
// Two names are two spaces of IDs, which overlap.
//
// Do not delete the documents of a name while its IDs have to stay unique.
//
// # Failures
//
//	store slow or unavailable     IDs are handed out within what is reserved, then
//	                              Next waits until its context ends
//	node number lost              Next returns the cause of the node's context
//	process paused beyond that    its IDs are within the time that it had
//	                              reserved, and unique
//	process crashes               the next holder of its number starts above the
//	                              reserved time: up to Ahead in the future
//	clock jumps forward           IDs have the new time
//	clock jumps back              IDs have the old time, which continues
//	clock was far ahead           so are all IDs of that node number from then on:
//	                              unique, and no longer in order
//	store restored from a backup  a new holder starts at the time of its clock if
//	                              that is higher than what the backup says
//
// # Costs
//
// An ID takes a clock reading and an atomic exchange. A generator hands out 4,096
// IDs per millisecond on average, and 400,000 more in a burst. A reservation is a
// read and a guarded commit, in the background each two thirds of Ahead (default
// 10 s) while IDs are drawn. At rest there is no goroutine and no traffic; the first
// call after a rest longer than Ahead waits for one reservation.
package ids
