// Package election elects one leader among the processes that campaign under a
// name, and gives it a term: a number that fences off every earlier leader.
//
//	e, err := election.New(store, "billing/nightly", nil)
//	if err != nil {
//		return err
//	}
//	return e.Run(ctx, func(ctx context.Context, lead *election.Leadership) error {
//		return bill(ctx, lead.Term()) // returns when ctx ends
//	})
//
// [Election.Run] campaigns, runs a function while it leads, and campaigns again
// after a loss. [Election.Campaign] and [Leadership.Resign] are for code that
// cannot be put into one function. [Election.Leader] and [Election.Observe] are
// for processes that only need to know the leader.
//
// # Guarantees
//
// At most one process leads at a time. A leader trusts itself until the start
// of its session's last renewal that counts, plus what the store promised, less
// a margin; see backend.Session. Then the context of its leadership ends,
// whether the store can be reached or not, and before the store can give the
// office to another. Code that runs under that context and returns when it ends
// never runs in two places at once.
//
// No context covers code that ignores it, nor the instant between the end of a
// pause (of the process, of the machine) and the next look at the clock. The
// term does: hand it to whatever is written and let that refuse lower ones. For
// what is written to the same store, commit with [Leadership.Guard], which the
// store itself checks. [Leadership.Valid] narrows the instant.
//
// Candidates are served in the order in which they joined the queue; those with
// a higher Options.Priority come first, and a named successor before all.
//
// # Leaders that move
//
// [Leadership.Transfer] hands the office to a candidate of your choice, before a
// deploy for example. With Options.Priority a leader steps down for a candidate
// with a higher priority that has waited for Options.Settle, and
// [Election.SetPriority] moves a leadership while all processes run. With
// Options.Healthy an unhealthy leader steps down within a quarter of the TTL.
//
// # Mistakes to avoid
//
// The function given to Run must return when its context ends. A function that
// does not return blocks the next campaign of this process.
//
// Do not start a goroutine in it that outlives it.
//
// Do not make the readiness of a service depend on its leadership: a rolling
// update would hang.
//
// Set Options.Strict in all candidates or in none.
//
// After a restore of the store, set Options.MinTerm in every process before any
// process campaigns.
//
// # Calls that wait
//
// Run and Campaign wait through outages until their context ends. Leader, Status
// and Confirm end after backend.Options.CallTimeout. Resign returns when the
// session ends, at the latest. docs/calls.md has all of them.
//
// # Failures
//
//	store slow, a renewal late        another is sent in time; nothing changes
//	leader cut off from the store     its context ends within TTL - margin; the
//	                                  next leads once the store expires it
//	leader crashed                    the same, without the first half
//	process paused beyond its window  Valid is false at once, the context ends,
//	                                  a guarded write is refused
//	store down                        the leader leads on inside its window, the
//	                                  others wait; all continue by themselves
//	a key deleted by hand,            the leader watches its keys and ends when
//	lease revoked, store wiped        they go; terms keep growing as long as one
//	or restored                       candidate or the store remembers them
//	process unhealthy, or its probe   it steps down within a quarter of the TTL, and
//	hangs (Options.Healthy)           campaigns again when it is healthy
//	store gives the office away       two leaders for the length of a
//	before its time                   notification; none with Options.Strict
//	no process remembers the highest  terms may repeat: set Options.MinTerm
//	term after a wipe or restore
//	a key of an unknown format        it blocks nobody for longer than its
//	                                  session, and is reported in the log
//
// # Costs
//
// All elections of a Store share its session. A free office is taken by one
// read and one commit; the first tenure ever takes two more of each. A
// hand-over takes the resignation, one notification and one commit, whatever
// the number that wait. A waiting candidate watches one key and has two
// goroutines, its caller's included. After a campaign or a leadership there is
// none.
//
// # States
//
//	            office free and queue empty
//	   +-------------------------------------------+
//	   |                                           v
//	(out) ----> (waiting) ------------------> (leading)
//	 ^  ^  join     |       head, office free   |  |
//	 |  +-----------+ <-------------------------+  |
//	 |   ctx ends        session or office lost    |
//	 |                   (Run joins the body first)|
//	 +---------------------------------------------+
//	            resign, body returned, ctx ends
//
// docs/elections.md explains the protocol. It is Quorate's own and is searched
// exhaustively, within small bounds, by an explicit-state model. The queue in
// which each candidate watches the one ahead is the leader election recipe of
// the ZooKeeper documentation.
package election
