// Package backend gives a process its access to a coordination store: a [Store]
// with one session, its trust window, shared watches, bounded calls and guarded
// commits. The primitives are built on it.
//
// Most programs only create a Store with an adapter and close it:
//
//	store, err := etcd.New(client, &backend.Options{
//		Namespace: "billing",        // processes with one namespace see each other
//		TTL:       10 * time.Second, // how long others wait after a crash
//		Logger:    logger,
//	})
//	if err != nil {
//		return err
//	}
//	defer store.Close() // others need not wait for the TTL then
//
// # Guarantees
//
// A process may act on a [Session] until the start of the last renewal that
// counts, plus the time that the store promised, less a margin. The session's
// context ends then, by the process's own clock. The store keeps the keys
// longer than that. [Session.Valid] compares the clocks themselves, so it is
// right after a pause of the process, before any timer has fired.
//
// [Store.Commit] applies all of a transaction or nothing. It never sends a
// commit twice whose outcome is unknown. With a [Guard] the store refuses the
// commit once the ownership is over.
//
// A [Watcher] shows the newest state in the end, and never an older one after
// a newer one.
//
// # Mistakes to avoid
//
// Do not create a Store for each primitive: one Store serves all of them with
// one session. Two TTLs need two Stores.
//
// Do not close the store's client before the Store.
//
// Do not repeat a commit after [ErrIndeterminate] without reading first: it may
// have been applied, or may be applied later.
//
// Do not choose a TTL below the time that the store needs to elect its own
// leader. docs/operations.md has a table.
//
// # Calls that wait
//
// Every method that does I/O ends with its context, and single calls end after
// Options.CallTimeout at the latest. docs/calls.md has a table of all calls:
// until when each blocks, the meaning of its errors, and whether to retry.
//
// # Failures
//
//	store unavailable          calls end with ErrUnavailable, the session stays
//	                           trusted inside its window, watches show the last
//	                           state and read again afterwards
//	store refuses (rights)     ErrDenied; a process that was served before
//	                           retries for 10 s first
//	store refuses (load)       all requests of this process are slowed down
//	reply to a commit lost     ErrIndeterminate
//	session expires            contexts under it have ended before; the Store
//	                           opens another session when one is needed
//	process paused             Valid is false at once; the context ends
//	store wiped or restored    the session is lost; versions read before are
//	                           refused
//	Close on a dead store      returns within Options.CloseTimeout; the keys
//	                           expire with the TTL
//
// # Costs
//
// A Store without a session costs nothing. A session costs one renewal per
// third of the trust window. Any number of watchers of one target share one
// watch at the store.
package backend
