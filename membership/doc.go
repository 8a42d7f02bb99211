// Package membership lets the processes of a group know each other: who is
// there, where, since when anew, and how far that can be relied on while the
// store cannot be asked.
//
// # Which method
//
// [Group.Join] makes this process a member, until [Registration.Leave].
// [Group.View] tells at any time, without I/O, who the members are;
// [Group.Watch] streams what changes. Whoever only wants to know need not join.
//
// # States of a member
//
//	           Join                 session lost, entry deleted
//	(out) -------------> (registered) <--------------> (registering again)
//	  ^                        |                               |
//	  +------------------------+-------------------------------+
//	     Leave, a newer incarnation joins, Group or Store closed
//
// Registration.Context spans both states on the right: it ends with the
// membership, not with a session.
//
// # What a view shows
//
// Each member once, by ID. Its Incarnation is unique to a Join: after a restart
// it is another, and a view shows the ID as restarted; if the process comes
// back before the store has noticed its end, as restarted and never as gone.
// After a lost session it is the same, and nothing is shown. Of two processes
// with one ID the one that first joined later has it, and the other's
// membership ends with [ErrSuperseded]. Who that is, is decided by the store's
// own revisions, not by clocks. (Which begin again when it is wiped: if an older
// incarnation is cut off then, a newer one joins, and the older comes back when
// the store has had more revisions than when it first joined, the older may win.
// A restore that brings back the mark of one who left may end whoever has the ID
// since, with ErrSuperseded: join again. So may the Join of a process that crashed
// in the midst of it, or its registering again after a wipe or a restore, if
// that lands after the Join of the one that took its place.)
//
// A member that leaves is gone from the views of others as soon as they hear of
// it. One that crashed is, after its TTL and a tenth more, 0.6 s at least (the
// store's own delay comes on top: see docs/guarantees.md).
//
// # How far to rely on it
//
// A view is what the store showed a moment ago; two processes may see different
// ones for a while, and a member that is cut off is shown until its TTL is over.
// So nothing may hang on it that must not happen twice: for that there are
// package election, and package partition, which stands on this one. View.Age
// says how long ago the view was last known to be right, and View.Stale that
// this is longer than a TTL.
//
// # Self-preservation
//
// When more than half of the members vanish within a TTL without having left,
// something has befallen the store, or the way to it, rather than the members:
// a wipe, a restore, leases lost by a fault. The view then holds them, marked
// Member.Held, for Options.GracePeriod. When this process has lost its own
// session, for whatever reason, it holds all who are missing until it has had
// another for a TTL: they may have lost theirs for the same reason, and come
// back later. A Leave is never held back: it replaces the member's entry by a
// mark, in one commit, and marks are kept for two minutes (the other members
// delete them; those of the last members to leave stay until somebody joins
// again). In a group of one the one is more than half: others see its crash
// only after the grace period.
//
// # What goes wrong, and what then
//
//	store down                 the last view stands, stale after a TTL; members
//	                           stay members, and register again afterwards
//	all come back at once      each has its place, by a hash of its ID, in the 0.85
//	                           TTL from the store's return, and draws a moment
//	                           there; it draws another if a sixth of the members came
//	                           within a second: one commit each
//	store wiped or restored    the same; the views hold who is missing
//	session lost by one        it registers again at once, within the tenth of a
//	                           TTL for which everyone is held
//	entry deleted by hand      the same
//	member crashed             gone after its TTL
//	member paused              gone after its TTL; back, the same incarnation,
//	                           when it goes on
//	restarted during an outage Options.SnapshotFile tells the last members, stale
//	store refuses              for half a TTL: nothing ends. For longer: Contexts end
//	                           with backend.ErrDenied, and Watches after 10 s. The
//	                           next call of the Group asks the store again
//
// # What it costs
//
// A Group costs its Store one watch of one directory, whatever the number of
// members and Watches in the process, and at rest no call but the renewals of
// the session. A join is one commit, an update a read and one commit, a leave a
// read and one commit. Each change is delivered to each watching Store once; on
// etcd it carries that one member, on Consul and ZooKeeper all of them:
// docs/benchmarks.md has the numbers.
package membership
