// Package counter counts across processes: [Counter] is an exact number that all
// processes share, [Sequence] hands out numbers that no other process gets, and
// [Tally] collects statistics without waiting.
//
//	exports, err := counter.New(store, "exports", &counter.Options{Max: &quota})
//	if err != nil {
//		return err
//	}
//	n, err := exports.Add(ctx, 1) // ctx has a deadline
//	switch {
//	case errors.Is(err, counter.ErrOutOfRange):
//		return errQuotaUsedUp
//	case errors.Is(err, backend.ErrIndeterminate):
//		return errTryLater // counted once or never
//	}
//
// # Which one
//
// Use Counter for a value that must be right at once: quotas, tickets, budgets.
// Each call is a commit at the store, or a part of one. Use Sequence for
// identifiers: nearly every call is an atomic addition. Use Tally for
// statistics: Add is an atomic addition, and the store gets a sum once per
// interval (default 1 s).
//
// # Guarantees
//
// An Add that was acknowledged is applied once, however many replies, requests
// and connections are lost. Adds are linearizable. An Add that ended with
// backend.ErrIndeterminate is applied once or never. It is never applied after
// a later Add of the same Counter was acknowledged. An Add with any other error
// is never applied.
//
// No two calls of [Sequence.Next] return the same number. Within a process the
// numbers grow.
//
// A flushed sum of a Tally is counted once.
//
// # Mistakes to avoid
//
// Do not create several Counters of one name in a process: one is faster, since
// calls that meet share a commit.
//
// Do not repeat an Add after backend.ErrIndeterminate.
//
// Do not delete a counter's document by hand while a process counts. On some
// stores a commit from before can then overwrite later counts. Call Delete.
//
// Close a Tally before its Store, or the last sums are lost.
//
// After a restore of the store, set SequenceOptions.MinNumber in every process
// before any process calls Next.
//
// # Calls that wait
//
// Add and CompareAndSet wait through outages until their context ends. Value,
// Total and Estimate end after backend.Options.CallTimeout. Next waits only if
// no number is reserved. Tally.Add never waits. docs/calls.md has all of them.
//
// # Failures
//
//	store unavailable           Add waits until its context ends; Value returns
//	                            backend.ErrUnavailable; Next hands out reserved
//	                            numbers, then waits; a Tally keeps its sums and
//	                            flushes when the store is back
//	context of Add ends         before it was sent: never applied. After that:
//	                            backend.ErrIndeterminate, applied once or never
//	process crashes             Add: applied once or never. Sequence: at most two
//	                            blocks of numbers are a gap. Tally: the sums of
//	                            one and a quarter intervals are lost, or those of
//	                            the whole outage
//	session lost                no effect: no counter uses the session
//	store restored or wiped     counts since the backup are lost; counting
//	                            continues from the backup
//	Delete while processes add  an Add that was given up before is never applied
//	                            to the counter that begins anew
//	document deleted by hand    see the mistakes above
//	64 other writers between a  backend.ErrIndeterminate, although the context
//	lost reply and a read       has not ended
//
// # Restores
//
// A restore brings the value of the backup back. An Add that is under way is
// applied once in the restored store, or ends with backend.ErrIndeterminate. This
// holds if no commit from before the restore is applied after it. So restore the
// store as its documentation says: etcd with a revision bump and its history
// marked as compacted, ZooKeeper with all servers stopped, Consul by its own
// snapshot command.
//
// A Sequence continues above the highest number that its own process has seen.
// A new process knows only the backup, so it needs SequenceOptions.MinNumber. A
// Tally loses the sums that were flushed since the backup. It may also lose the
// one sum that it sends before it learns of the restore.
//
// # Costs
//
// A Counter with one caller needs one commit per Add and no read. Callers that
// meet share a commit. At rest there is no goroutine and no traffic. Its
// document has at most 8 KiB.
//
// Processes that add to one Counter without a pause take turns of up to 16
// commits. The process that has waited longest has the next turn. With n such
// processes and commits of t seconds, an Add waits for about a second at most,
// or for 3nt seconds if that is longer. Adds with pauses between them are sent
// at once. A turn begins with a read. So a process whose connection is several
// times slower than the others' may wait until they pause. Use a Tally or
// several Counters in that case.
//
// # States of an Add
//
// The document has the value, and for each recent writer the number of its last
// commit and the value after it. Every commit is conditioned on the document
// from which it was made. If a commit is refused or unanswered, the Counter
// reads the document, which shows whether the commit was applied. It keeps the
// last 64 writers.
//
//	 +-------- more adds arrive, and are sent together as one commit
//	 v
//	(queued) --> (sent) --applied--------------------------------> result
//	 ^            |  ^
//	 +--refused---+  | own entry is older, or absent and none was
//	              |  | pushed out since: not applied, sent as it was
//	  in doubt    v  |
//	           (reads)  own entry has this number: applied ------> result
//	              |
//	              +---- own entry is absent, and may have been
//	                    pushed out; or no document ------------> ErrIndeterminate
package counter
