// Package debug serves a page that shows the state of a Store and its primitives.
// It has the session and its trust window, the leader and the waiting candidates,
// the members, the owner of each slot, and the counters. The same is served as
// JSON.
//
//	page, err := debug.Handler(store, &debug.Options{
//		Elections:  []*election.Election{e},
//		Groups:     []*membership.Group{group},
//		Partitions: []*partition.Partition{parts},
//	})
//	if err != nil {
//		return err
//	}
//	private.Handle("/debug/quorate", page) // ?format=json for JSON
//
// # Guarantees
//
// The page changes nothing. Text from the store is escaped.
//
// The page is also served during an outage of the store. It names what could not
// be read, with the reason and the last values. The session is shown as it is at
// that instant, without a read.
//
// # Mistakes to avoid
//
// Mount the page on a private listener. It asks for no password, and shows names,
// addresses and metadata of your processes.
//
// # Calls that wait
//
// A request ends after Options.Timeout at the latest.
//
// # Costs
//
// All viewers together cost the store one round of reads per second at most, and
// nothing without viewers. A round is one Read for each Election, Partition,
// Counter and Tally, eight at a time. A Group is shown by its View. This begins to
// follow the group if the process did not do so before. Long lists are cut, and
// the page says so.
package debug
