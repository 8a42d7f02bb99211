// Package counter counts together: a [Counter] whose value all processes
// share, a [Sequence] of numbers that nobody else gets, and a [Tally] for what
// is counted too often to wait for each time.
//
// # Which one
//
// Counter is for what must be right at once: tickets, budgets. Each
// call is a commit at the store, or a part of one. Sequence is for identifiers:
// a call is an atomic addition nearly always. Tally is for statistics: adding
// is an atomic addition, and the store hears of it once per interval.
//
// # How a Counter settles what is in doubt
//
// The reply to a commit can be lost, and a commit whose caller gave up can land
// at any later time. A process that then simply adds again counts twice. A Counter
// keeps in its one document, beside the value, what each writer that wrote
// lately has done: the number of its last commit and the value after it. Every
// commit is conditioned on the document being the one it was made from. When
// one is refused, or nothing is heard of it, the document is read, as long as
// that takes, and says which:
//
//	 +-------- more comes, and goes out together, as one commit
//	 v
//	(queued) --> (sent) --applied--------------------------------> result
//	 ^            |  ^
//	 +--refused---+  | own entry older, or there is none and none was
//	              |  | pushed out since: not applied, the very same again
//	  in doubt    v  |
//	           (reads)  own entry has this number: applied ------> result
//	              |
//	              +---- there is none, and it may have been pushed
//	                    out; or the document is gone ------------> ErrIndeterminate
//
// The document keeps the last 64 writers; ErrIndeterminate without an end of
// the context takes 64 others that wrote between a lost reply and the next
// successful read.
//
// # What goes wrong, and what then
//
//	store slow or away          Add waits, until its context ends; Value says
//	                            backend.ErrUnavailable after its timeout; Next
//	                            hands out what is reserved, then waits; a Tally
//	                            adds on, and flushes when the store is back
//	context of Add ends         not sent: nothing is applied, ever. Sent:
//	                            backend.ErrIndeterminate; it is applied once or
//	                            never, and never after a later Add of the same
//	                            Counter was acknowledged
//	process crashes             Add: what was under way is applied once or
//	                            never. Sequence: the reserved numbers, at most
//	                            two blocks, are a gap. Tally: what was not
//	                            flushed is lost, an interval and a quarter of
//	                            adds, or as far back as the store was away
//	session lost                nothing: no counter uses the session
//	store restored from a       what was acknowledged since is lost; counting
//	backup, or wiped            goes on from there. See below
//	Delete while processes add  an add given up before is not applied after. One
//	                            that is under way is part of the counter before or
//	                            after; if its reply was lost it is
//	                            backend.ErrIndeterminate
//	document deleted by hand    do not, while anybody counts: on some stores a
//	                            commit from before can then overwrite what was
//	                            counted since
//
// # What a restore can do
//
// A restore brings the value of the backup back. An Add that is under way
// meanwhile is settled by what it finds: it is applied once in what is there
// afterwards, or ErrIndeterminate. That supposes that the store is restored as
// its documentation says, so that no commit from before the restore lands
// after it: etcd with a revision bump and its history marked as compacted,
// ZooKeeper with all servers stopped, Consul by its own snapshot command.
// Otherwise an add from before may be applied again, or late.
//
// After a restore a process's Sequence carries on above the highest number
// that this process has seen. A process that was not there to see them may
// issue numbers again that others issued after the backup: for that there is
// SequenceOptions.MinNumber. A Tally loses what was flushed since the backup,
// and may give up the one sum that it sends before it knows of the restore.
//
// # What it costs
//
// A Counter with one caller takes one commit per Add and no read; callers that
// come together share one. At most one commit of a Counter is under way, and
// at rest there is no goroutine and no traffic. Its document has at most 8 KiB.
//
// # Many processes at once
//
// Processes that all add to one Counter without a pause take turns of up to 16
// commits. The process that has waited longest has the next turn. With n such
// processes and commits of t seconds, an Add waits at most about a second, or
// 3nt seconds where that is longer. Adds that pause in between are sent at once.
//
// A turn begins with a read, so a process whose way to the store is several
// times slower than that of the others may have to wait until they pause. Use a
// Tally where the value is not needed at once, or several Counters.
package counter
