// Package faults wraps a driver and makes it fail on demand, to test the
// failure handling of a service or of Quorate itself.
//
//	d := faults.Wrap(memory.NewDriver(server))
//	store, err := backend.New(d, nil)
//	if err != nil {
//		t.Fatal(err)
//	}
//	d.Next(faults.Commit, faults.Fault{LoseReply: true}) // applied, but the caller does not learn it
//
// Faults come one by one, by [Driver.Next]; at random but repeatably, by
// [Driver.Chaos]; or as a state of the network, by [Driver.Partition] and
// [Driver.CutWatches]. Faults of leases are [Driver.ExpireEarly] and
// [Driver.ExpireLate]. Package memory has the faults of the store itself: a
// wipe, a restore, a key deleted by hand.
//
// # Testing a service
//
// Give each process of the test a Store of its own, over a driver of its own,
// over one server. A fault then hits one process, and the test sees how the
// others react.
//
//	to see whether your service         let this happen
//	stops when its session is lost      memory.Server.Expire of Session.ID
//	stops in time when it is cut off    Driver.Partition, for longer than the TTL
//	does nothing twice when a reply     Driver.NextCommit with LoseReply
//	is lost
//	survives a write that lands late    Driver.NextCommit with LandLater
//	works through an outage             memory.Server.SetDown
//	comes back after a wipe, a restore  memory.Server.Wipe, Restore
//	has forgotten a case                Driver.Chaos, with many seeds
//
// Check the effects of the service: which process had which effect, under which
// token, when. Assert that they are complete and in order, and that no token
// comes after a higher one. examples/tested has a service and such tests to
// copy.
//
// # Guarantees
//
// The driver keeps the clauses of the contract except those that it is told to
// break. So code that fails under it would fail on a real store. In a bubble of
// testing/synctest over package memory everything happens in virtual time.
package faults
