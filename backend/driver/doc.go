// Package driver is the contract between Quorate and a store: what an adapter
// for etcd, Consul, ZooKeeper or another store implements. Services do not use
// it; they use an adapter, which returns a *backend.Store.
//
// An adapter creates a driver and a Store over it:
//
//	func New(client *Client, options *backend.Options) (*backend.Store, error) {
//		d, err := NewDriver(client, nil)
//		if err != nil {
//			return nil, err
//		}
//		return backend.New(d, options)
//	}
//
// The contract is the interface [Driver] and the clauses below. They are
// normative: the primitives' safety rests on them and on nothing else about a
// store. Each has a subtest of its name in the conformance suite
// (package drivertest), which a driver must pass. This package also has what
// every adapter needs to keep them: [Running], [Generation], [Differing],
// [Refused], [Txn.OfGeneration], [Target.Covers], [NotSent] and [Ended].
//
// # Clauses
//
// C1, reads. A Read sees every commit that completed before it began, also
// when the server that answers has just been deposed as leader. For a
// directory it gives the key set of one instant; the values may be of
// different instants, none older than the start of the Read.
//
// C2, atomicity. A commit applies across keys all or nothing, and no reader
// sees a part of it.
//
// C3, refusal. A commit with a condition that does not hold applies nothing.
// The present state is then read, linearizably but not in the same step: it
// may already satisfy the condition again. If that read fails, "not applied"
// still holds.
//
// C4, errors. An error says which: [ErrUnavailable] (surely not applied, now
// or later), [ErrIndeterminate] (may be applied, at any time),
// [ErrSessionLost], [ErrDenied], [ErrTooLarge], [ErrInvalid], [ErrClosed]. The
// store's own error stays reachable through errors.As. A commit that is not known
// to be unsent or refused is indeterminate. A call that ends because its context
// did also wraps the context's error. The Store ends the contexts of all calls
// when it closes, and says [ErrClosed] to its callers itself. A driver returns
// ErrClosed only when somebody closed the client under it.
//
// C5, order. Modified grows with every change of content, and Created orders
// keys by their creation, store-wide; keys of one commit tie.
//
// C6, leases. The keys of a lease stay at least validFor after the start of
// its last successful renewal, or for the TTL after the start of Grant. They all
// go, at one instant, once it is revoked or expires. docs/guarantees.md has the
// faults of a misbehaving store.
//
// C7, dead leases. A commit that names a lease which is gone fails with
// [ErrSessionLost] and leaves no key behind, also when it was queued while the
// connection was down.
//
// C8, watches. A watch delivers first a state from a linearizable read begun
// after it was called, then later ones, each no older than the one before. It may skip states but never the last. Whatever happens between
// (compaction, index resets, restores, reconnects) it re-reads, or returns an
// error so that its caller does. A delete is never missed.
//
// C9, contexts. Every call returns promptly after its context ends, whatever
// the network does, a server that accepts and stays silent included.
//
// C10, close. The Store calls Close once, after it has ended the contexts of all
// calls and waited for them; no call begins after that. Close returns by its
// context's end on a dead store too, also while a call has not returned. Once
// all calls have returned, no goroutine and no connection of the driver is
// left. [Running] does the counting.
//
// C11, equal values. A write of the bytes that are there already may be no
// change: it need not move Modified or wake a watch.
//
// C12, versions. A condition need not notice that a key was deleted and
// created again, nor that a restore of the store brought a version back. So
// every commit whose safety depends on that also names a key that has a unique
// name and is never created again. A Version carries the driver's generation. A
// driver begins a new generation if it cannot be sure that the store's numbers
// continue: after a new connection, or when a revision went back. A commit with
// a Version of an older generation is refused like any failed condition.
// Driver.Generation announces it. Keys that were read or written before may be
// gone by then, or back. [Generation] does the counting.
//
// C13, ownership. A key's lease is fixed when it is created: a put neither
// detaches it from its lease nor gives it one.
//
// C14, directories. A key is never also a directory. A parent that an adapter
// had to create never shows up as a key. A commit that would make one out of
// the other is [ErrInvalid] or refused where the store notices; nobody makes
// such a commit.
package driver
