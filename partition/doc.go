// Package partition divides work into a fixed number of slots and spreads them
// over the members of a group. Each slot is run by one member at a time, and as
// few slots as possible move when members come and go.
//
//	parts, err := partition.New(group, "queue", &partition.Options{Slots: 64})
//	if err != nil {
//		return err
//	}
//	self, err := group.Join(ctx, membership.Member{ID: podName})
//	if err != nil {
//		return err
//	}
//	return parts.Run(ctx, self, func(ctx context.Context, slot *partition.Slot) error {
//		return consume(ctx, slot.Number(), slot.Token()) // returns when ctx ends
//	})
//
// [Partition.Run] makes this process one of those that run slots. It calls the
// function, the body, for each slot that the process owns. [Partition.Owner]
// tells any process where a key is most likely served. [Partition.Slot] returns
// the slot of a key. A process that is no member uses a [Router], and package route
// to send requests.
//
// # Guarantees
//
// At most one member runs a slot at a time. A body's context ends when its
// session can no longer be trusted, before the store can give up the member's
// claims; see backend.Session. The next owner begins only when the last body has
// returned, or its session is over.
//
// Each slot has a token: the epoch of the plan that last changed its owner. It
// is a fencing token. Changes of other slots do not change it. For writes to the
// same store [Slot.Guard] does the fencing.
//
// Shares are equal to within one slot, or proportional to weights, rounded. The
// same holds for zones. No balanced plan moves fewer slots. While members of
// several versions are there, no slot moves for the sake of balance. A member that returns under its ID gets its
// slots back, with new tokens.
//
// # Mistakes to avoid
//
// The body must return when its context ends. A body that does not return keeps
// the slot from all members.
//
// Do not put work that takes longer than the margin after the end of the body's
// context. Do it under [Slot.Drain]: the next owner waits.
//
// All members must have the same Slots, Grace and Strict.
//
// Do not use Owner to decide whether a process may act. Only the body may act.
//
// Call Leave after Run has returned, not before, so that slots are handed over.
//
// # Deploys
//
// Set Options.Version, and each slot moves once while all members are replaced.
// In a rolling restart of 20 members each slot moves 1.0 times if the new member
// joins before the old one leaves, and 1.1 times otherwise. With Options.Grace
// no slot moves if members return under their IDs in time.
//
// [Partition.Cordon] takes all slots from a member in an orderly way, and
// [Partition.Freeze] stops all moves that nobody's failure forces. Any process
// may call them. [Partition.SetWeight] changes a member's share while it runs.
//
// # Calls that wait
//
// Run blocks until its context ends and all bodies have returned. Cordon,
// Uncordon and Freeze wait for one write. Owner, Slot and SetWeight never wait. docs/calls.md has all calls.
//
// # Failures
//
//	store unavailable or slow  slots run inside the trust window; nothing moves
//	member cut off             its bodies' contexts end within TTL - margin;
//	                           others claim its slots once it has expired
//	member crashed             the same, without the first half
//	member returns under its   it has its slots again, and nothing else moves;
//	ID                         with Options.Grace also after a Leave
//	body does not return       the claim is kept and reported as an error; nobody
//	                           else runs the slot. With Options.EndOnDrainTimeout
//	                           the other slots are handed over and Run returns
//	                           ErrDrainTimeout; the process should end. Others
//	                           claim the slot once its session is over
//	body returns too often     the member gives the slot up, another gets it
//	plan or its mark deleted   running slots continue; a new plan is made after a
//	by hand                    new mark, so no earlier commit applies to it
//	claims deleted by hand,    the member stops all bodies when it is notified,
//	lease revoked, store       and returns under a new registration; two members
//	wiped or restored          may run a slot for the length of a notification,
//	                           none with Options.Strict, except after a restore
//	an older plan restored     members that remember a newer plan ignore it and
//	                           replace it, with new tokens for all slots
//	no plan, and no member     tokens may repeat until a process that remembers
//	with claims remembers      the highest epoch is back
//	the highest epoch
//
// # Costs
//
// The store has the plan, one mark (sometimes a spare one), and one key per
// member. A plan of 16,384 slots over 256 members takes 60 KB usually and 230 KB
// at most. A member watches the plan, the marks, the control key, its own claims, and those claims
// of others that hold a slot for which it waits. One commit claims or releases
// any number of slots. A few times per TTL one of the members reads all claims.
//
// # How it works
//
// Any member may propose a plan: which member should have each slot. The plan is
// one document, changed by compare-and-set. It is computed from the last plan and
// the present members. Each member also has claims, an ephemeral document with the
// slots that it may be running. The plan says who should run a slot, and the
// claims say who may.
//
// A member reads the plan, then everybody's claims. It claims a slot only if the
// plan has not changed since and no claims had the slot. It releases the slot only
// when its body has returned.
//
// # States of a slot, in one member
//
//	         plan names this       no other claims hold it:
//	         member                claim known to be applied
//	(other's) --------> (waiting) --------------------------> (running)
//	    ^                                                         |
//	    |  released: known to be applied, or the session is over  | plan names
//	    +------------------------- (draining) <-------------------+ another
//	                     until the body has returned
//
// The protocol is Quorate's own. An explicit-state model searches it
// exhaustively, within small bounds.
package partition
