// Package membership tells the processes of a group about each other: their IDs
// and addresses, which of them restarted, and how old that knowledge is.
//
//	group, err := membership.New(store, "cache", nil)
//	if err != nil {
//		return err
//	}
//	self, err := group.Join(ctx, membership.Member{ID: podName, Addr: podIP + ":8080"})
//	if err != nil {
//		return err
//	}
//	defer self.Leave(context.WithoutCancel(ctx))
//	for view := range group.Watch(ctx) {
//		serve(view.Members, view.Stale)
//	}
//
// [Group.Join] makes this process a member until [Registration.Leave].
// [Group.View] returns the members without I/O. [Group.Watch] streams changes. A
// process that only looks need not join.
//
// # Guarantees
//
// A view shows each member once, by ID. When nothing changes any more, every
// view shows exactly the members that live. A member stays a member through lost
// sessions and outages, and no view loses a member that lives because the store
// is unavailable.
//
// A Join has a unique incarnation. A restarted process has another incarnation,
// and views show its ID as restarted. If it is back before its old entry
// expires, no view shows it as gone. After a lost session the incarnation is the
// same, and views show no change.
//
// Of two processes with one ID, the process that first joined later keeps it.
// The other membership ends with [ErrSuperseded]. The store's revisions decide
// this, not clocks.
//
// View.Age is the time since the view was last known to be right. View.Stale
// says that this is longer than a TTL.
//
// # Mistakes to avoid
//
// Do not let a view decide what must not happen twice: two processes may have
// different views for a while. Use package election or partition for that.
//
// Do not give two processes one ID.
//
// Do not only close the Store at the end: without Leave or [Group.Close] the
// others take this process for crashed.
//
// # Calls that wait
//
// View never waits. Join, Leave, Update and WaitSynced wait through outages
// until their context ends. docs/calls.md has all of them.
//
// # Failures
//
//	store unavailable          the last view remains, and is stale after a TTL;
//	                           members stay members and register again later
//	all return at once         each registers at a moment that a hash of its ID
//	                           gives, within 0.85 TTL of the store's return; if a
//	                           sixth of the members came within a second it
//	                           chooses another moment; one commit each
//	store wiped or restored    the same; views hold the missing members
//	session lost by one        it registers again at once; others do not notice
//	entry deleted by hand      the same
//	member crashed             gone after the TTL, the store's delay, and a tenth
//	                           of a TTL (0.6 s at least)
//	member paused              gone after the TTL; the same incarnation returns
//	more than half vanish      the view holds them for Options.GracePeriod
//	restart during an outage   Options.SnapshotFile has the last members, stale
//	store refuses              for half a TTL: nothing ends. Longer: Contexts end
//	                           with backend.ErrDenied, Watches after 10 s; the
//	                           next call asks the store again
//
// # Self-preservation
//
// If more than half of the members vanish within a TTL without a Leave, the
// members are probably alive, and the store or the network had a fault. The view
// then holds them, marked Member.Held, for Options.GracePeriod. If this process has lost its own session, it holds all
// missing members until it has had another session for a TTL.
//
// A Leave is never held back. It replaces the member's entry by a mark, in one
// commit. Other members delete a mark after two minutes. The marks of the last
// members stay until a process joins again. In a group of one the single member
// is more than half: others see its crash only after the grace period.
//
// # Limits of the order of incarnations
//
// A wipe makes the store's revisions begin again. An older incarnation may then
// win over a newer one if it returns after the store has had more revisions than
// at its first Join. A restore may bring back the mark of a member that left,
// which ends the present holder of its ID with [ErrSuperseded]. So may a late
// Join, or a late registration after a wipe or a restore, of a process that
// crashed. Join again in these cases.
//
// # Costs
//
// A Group costs its Store one watch of one directory, whatever the number of
// members. At rest it makes no call except the session's renewals. A join is one
// commit. An update or a leave is a read and one commit. Each change is
// delivered to each watching Store once. On etcd and on ZooKeeper 3.6 a change
// carries that one member, on Consul all members. docs/benchmarks.md has the
// numbers.
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
package membership
