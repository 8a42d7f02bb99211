// Package quota grants at most so many requests per window of time to all
// processes together.
//
//	q, err := quota.New(store, "api/customer-7", 1000, time.Minute, nil)
//	if err != nil {
//		return err
//	}
//	granted, err := q.Take(ctx, 1)
//	switch {
//	case err != nil:
//		return err // the store cannot be asked
//	case !granted:
//		return tooManyRequests(time.Until(q.Ends()))
//	}
//
// # Guarantees
//
// In a window no more is granted than the limit, to all processes together,
// whatever replies are lost and whichever processes crash.
//
// A process reserves units of the window at the store and hands them out without
// I/O. It reserves no more at a time than it was granted in the window before, so
// a process that takes little holds little. If a call is refused, all units of the
// window are granted, reserved by other processes, or lost. A crash loses units,
// and so does a lost reply.
//
// # Windows
//
// The document in the store says which window it is. Windows are as long as New
// says and begin at multiples of that since 1970, by the clocks of the processes. The
// process whose clock is ahead begins the next window; it never ends again. A
// process whose clock is behind counts in the window of the document. A wrong
// clock can begin a window that lies in the future. A process ends that window
// when it has seen it for its length by the monotonic clock.
//
// So the limit of a window holds whatever the clocks say. How long a window lasts
// depends on them: clocks that differ by d make it shorter by d at most. In any
// stretch of time as long as a window no more than twice the limit is granted, as
// with all fixed windows.
//
// # Mistakes to avoid
//
// Give all processes the same limit and window. If they differ, each process grants
// up to its own limit of what the document counts, and the shorter windows count.
//
// A quota per customer leaves a key per customer. Delete it when the customer goes.
//
// # Failures
//
//	store slow or unavailable     calls are granted from what is reserved, then
//	                              they wait until their context ends
//	reply to a reservation lost   the units are not used in this window
//	process crashes               the units that it had reserved are not used
//	clock jumps forward           the window ends early, once
//	clock jumps back              the window does not: see above
//	store restored or wiped       a process counts on from what it remembers; up
//	                              to the limit may be granted again
//	session lost                  nothing: a quota uses no session
//
// # Costs
//
// A reservation is a read of one key and a commit. A process that takes m of a
// window makes about log2(m) reservations while much is left. It reserves an
// eighth of the rest at most, so it makes more near the end. When the window is used up
// calls are refused without I/O. At rest there is no goroutine and no traffic.
//
// The protocol is searched exhaustively, within small bounds, by an explicit-state
// model.
package quota
