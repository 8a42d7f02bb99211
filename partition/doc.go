// Package partition cuts work into a fixed number of slots and spreads them
// over the members of a group, so that each slot is run by one of them, and as
// few as possible move when members come and go.
//
// # Which method
//
// [Partition.Run] makes this process one of those that run slots: it calls a
// function for each slot that the process owns. [Partition.Owner] tells anybody
// where a key will most likely be served; [Partition.Slot] to which slot it
// belongs.
//
// # States of a slot, in one member
//
//	         plan names this       nobody else's claims hold it:
//	         member                claim known to be applied
//	(other's) --------> (waiting) --------------------------> (running)
//	    ^                                                         |
//	    |  released: known to be applied, or the session is over  | plan names
//	    +------------------------- (draining) <-------------------+ another
//	                     until the body has returned
//
// # How it works
//
// Any member may propose a plan: who should have each slot. It is one document,
// changed by compare-and-set, and a function of the last one and of who is
// there: members' shares are equal to within one slot (or proportional to their
// weights, rounded), and no balanced plan moves fewer slots. Beside it each
// member has claims, a document that goes with its session: the slots that it
// may be running. The plan says who should, the claims say who may: a member
// claims a slot only while the plan is as it read it before it looked at
// everybody's claims, and found the slot in none; and releases it only once its
// body has returned.
//
// Each slot has a token, the epoch of the plan that last changed its owner: it
// is the fencing token. What other slots do does not change it. A member that
// comes back under its ID (restarted, or after the loss of its session) has its
// slots again, with new tokens: what it was before may still run them.
//
// # The trust window
//
// As in package election: a body's context ends when the session that owns the
// claims can no longer be trusted, before the store can give them up; see
// backend.Session. Code that does not heed its context can be fenced by the
// token, or for what is written to the same store by [Slot.Guard].
//
// The next owner waits for a body that drains because its slot is to move, but
// only for as long as the session lasts: what takes longer than the margin has
// to be done under [Slot.Drain].
//
// # What goes wrong, and what then
//
//	store down or slow          slots run on inside the trust window; nothing
//	                            moves
//	member cut off              its bodies' contexts end within TTL - margin; its
//	                            slots are claimed once the store has expired it
//	member crashed              the same, without the first half
//	member back under its ID    has its slots again, nothing else moves; with
//	                            Options.Grace also if it had left
//	body does not return        the claim is kept, and it is said loudly; nobody
//	                            else runs the slot. With
//	                            Options.EndOnDrainTimeout the other slots are
//	                            handed over and Run returns ErrDrainTimeout, for
//	                            the process to end: the slot is claimed elsewhere
//	                            once its session is over, not before
//	body returns too often      the member gives the slot up, another gets it
//	plan or its mark deleted    what runs goes on; a new plan is made, after a new
//	by hand                     mark: no commit from before applies to it
//	claims deleted by hand,     the member hears of it by its watch, stops all,
//	lease revoked, store wiped  and comes back under a new registration: two may
//	or restored                 run a slot for the length of a notification; none
//	                            with Options.Strict, save after a restore
//	an older plan restored      who remembers a newer one does not act on it, and
//	                            replaces it, with new tokens for all slots
//	no plan, and nobody with    tokens may repeat, until who remembers it is back
//	claims in the store
//	remembers the highest
//	epoch
//
// # What it costs
//
// In the store: the plan, one mark (now and then a spare one, until the next
// new line), and one key per member. A plan of 16,384
// slots over 256 members takes 60 KB usually, 230 KB at worst. A member watches
// the plan, the marks, its own claims, and only those claims of others that hold
// what it waits for; any number of slots is claimed or released in one commit. A
// few times per TTL one member of the group or another reads all claims.
//
// The protocol is Quorate's own, searched exhaustively within small bounds by an
// explicit-state model.
package partition
