// Package lock has a mutex and a semaphore that processes share, with a fencing
// token for each holder.
//
//	m, err := lock.NewMutex(store, "invoices/42", nil)
//	if err != nil {
//		return err
//	}
//	return m.Do(ctx, func(ctx context.Context, held *lock.Held) error {
//		return send(ctx, held.Token()) // returns when ctx ends
//	})
//
// [Mutex.Do] runs a function under the mutex and waits for it. [Mutex.Lock],
// [Mutex.TryLock] and [Held.Unlock] are for code that cannot be put into one
// function. A [Semaphore] has n permits instead of one; each has a number, see
// [Held.Permit].
//
// # Guarantees
//
// A mutex has one holder at a time, and so has the permit with each number. A
// holder trusts itself until the start of its session's last renewal that counts,
// plus what the store promised, less a margin; see backend.Session. Then the
// context of the lock ends, whether the store can be reached or not, and before
// the store can give the lock to another process. Code that runs under that
// context and returns when it ends never runs in two places at once.
//
// No context covers code that ignores it, nor the instant between the end of a
// pause of the process and the next look at the clock. The token does: it grows
// from holder to holder of a mutex, or of the permit with one number. Hand it to
// whatever is written and let that refuse lower ones. For what is written to the
// same store, commit with [Held.Guard], which the store itself checks.
//
// Lock and Acquire serve callers in the order in which they joined the queue.
// TryLock and TryAcquire never wait for another holder and never have a place in
// the queue.
//
// # Mistakes to avoid
//
//   - A mutex is not reentrant. A second Lock waits for the first to be unlocked,
//     also in the same goroutine.
//   - Return when the context ends. Do waits for its function, and the log reports
//     a function that does not return.
//   - Unlock after the work has stopped, not before: the next holder starts at
//     once.
//   - Tokens of two names, or of two permits of a semaphore, are not comparable.
//
// # Failures
//
//	store slow, a renewal late       another is sent in time; nothing changes
//	holder cut off from the store    its context ends within TTL - margin; the
//	                                 next holds the lock once the store expires it
//	holder crashed                   the same, without the first half
//	process paused beyond its window Valid is false at once, the context ends,
//	                                 a guarded write is refused
//	store down                       the holder continues in its window, the
//	                                 others wait; all continue by themselves
//	a key deleted by hand, lease     the holder watches its keys and ends when
//	revoked, store wiped or restored they go
//	store gives the lock away        two holders for the length of a notification
//	before its time
//	no process remembers the highest tokens may repeat: set Options.MinToken
//	token after a wipe or restore
//	reply to a commit lost           the caller reads, and makes sure that a commit
//	                                 which was given up cannot be applied later
//
// # Costs
//
// All locks of a Store share its session. A free mutex takes one read and one
// commit, and is given back by one commit. The first use of a name takes two reads
// and a commit more. A hand-over takes the unlock, one notification and one commit,
// whatever the number that wait. A process that waits watches one key, and one that
// holds a permit two. After an unlock no goroutine and no watch is left.
//
// A name keeps four keys in the store, and a semaphore two for each permit that was
// used: marks, which hold the last token. [Mutex.Remove] deletes them. Each read of
// a semaphore returns up to three keys per permit, so a semaphore of hundreds of
// permits is for holders that stay.
//
// # Protocol
//
// A mutex is an election that can be removed, and a semaphore is one with several
// seats. docs/elections.md explains the protocol. An explicit-state model searches
// it exhaustively, within small bounds.
package lock
