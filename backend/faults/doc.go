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
// It keeps to the clauses of the driver contract in all but what it is told to
// break, so what fails under it would fail on a real store. In a bubble of
// testing/synctest over package memory all of it happens in virtual time.
package faults
