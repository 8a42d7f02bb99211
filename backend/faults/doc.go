// Package faults wraps a driver and makes it fail, for tests: of Quorate
// itself, and of services that want to see what they do when their store
// misbehaves.
//
//	d := faults.Wrap(memory.NewDriver(server))
//	store, err := backend.New(d, nil)
//	...
//	d.Next(faults.Commit, faults.Fault{LoseReply: true}) // applied, but nobody is told
//
// Faults come one by one, by [Driver.Next]; at random but repeatably, by
// [Driver.Chaos]; or as a state of the network, by [Driver.Partition] and
// [Driver.CutWatches]. Faults of leases are [Driver.ExpireEarly] and
// [Driver.ExpireLate]. What needs the store itself (a wipe, a restore, a key
// deleted by hand) is in package memory.
//
// # Testing a service
//
// Give each process of the test a Store of its own, over a driver of its own,
// over the one server: what a fault befalls is one process then, and the others
// show what they make of it.
//
//	to see whether your service         let this happen
//	stops when its session is lost      memory.Server.Expire of Session.ID
//	stops in time when it is cut off    Driver.Partition, for longer than the TTL
//	does nothing twice when a reply     Driver.NextCommit with LoseReply
//	does not come
//	survives a write that lands late    Driver.NextCommit with LandLater
//	works on through an outage          memory.Server.SetDown
//	comes back after a wipe, a restore  memory.Server.Wipe, Restore
//	has forgotten a case                Driver.Chaos, with many seeds
//
// What to look at is what the service did: who had which effect, under which
// token, when. Hold that it is complete, that it is in order, and that no token
// comes after a higher one. examples/tested has a service and such tests, to be
// copied.
//
// It keeps to the clauses of the driver contract in all but what it is told to
// break, so what fails under it would fail on a real store. In a bubble of
// testing/synctest over package memory all of it happens in virtual time.
package faults
