// Package election elects one leader among the processes that campaign under a
// name, and hands it a term: a number that fences off every earlier leader.
//
// # Which method
//
// [Election.Run] is for most: it campaigns, runs a function while it leads,
// and campaigns again after a loss. [Election.Campaign] and
// [Leadership.Resign] are for code that cannot be put into one function.
// [Election.Leader] and [Election.Observe] are for those who only want to know.
//
// # States
//
//	             join                head, office vacant
//	(out) ------------> (waiting) ----------------------> (leading)
//	  ^                  |    ^                            |   |
//	  |   ctx ends       |    |   session or office lost   |   |
//	  +------------------+    +----------------------------+   |
//	  |                           (Run joins the body first)   |
//	  +--------------------------------------------------------+
//	                  resign, body returned, ctx ends
//
// # The trust window
//
// A leader trusts itself until the start of its session's last renewal that
// counts, plus what the store promised, less a margin; see backend.Session.
// Then the context of its leadership ends, whether the store can be reached or
// not, and before the store can give the office to another. What runs under
// that context, and heeds it, never runs in two places at once.
//
// What no context can cover is code that does not heed it, and the instant
// between the end of a pause (of the process, of the machine) and the next
// look at the clock. For these there is the term: hand it to whatever is
// written and let that refuse lower ones; or, for what is written to the same
// store, commit with [Leadership.Guard], which the store itself checks.
// [Leadership.Valid] narrows the instant.
//
// # What goes wrong, and what then
//
//	store slow, a renewal late        another is sent in time; nothing changes
//	leader cut off from the store     its context ends within TTL - margin; the
//	                                  next leads once the store expires it
//	leader crashed                    the same, without the first half
//	process paused beyond its window  Valid is false at once, the context ends,
//	                                  a guarded write is refused
//	store down                        the leader leads on inside its window, the
//	                                  others wait; all go on by themselves
//	a key deleted by hand,            the leader watches its keys and ends when
//	lease revoked, store wiped        they go; terms keep growing as long as one
//	or restored                       candidate or the store remembers them
//	store gives the office away       two leaders for the length of a
//	before its time                   notification; none with Options.Strict
//	nobody remembers the highest      terms may repeat: set Options.MinTerm
//	term after a wipe or restore
//
// # What it costs
//
// All elections of a Store share its session. A candidate that waits watches
// the one ahead of it and itself, so a resignation wakes one process. From an
// empty queue to leading it takes two commits and a round of reads.
//
// The protocol is Quorate's own, searched exhaustively within small bounds by
// an explicit-state model; the queue in which each watches the one ahead is
// the leader election recipe of the ZooKeeper documentation.
package election
