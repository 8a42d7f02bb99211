// Package memory is a coordination store inside the process, for tests and for
// services that run as a single process.
//
//	store, err := memory.New(nil) // a store of its own
//	if err != nil {
//		return err
//	}
//	defer store.Close()
//
// In a test, several drivers on one [Server] are several processes:
//
//	server := memory.NewServer()
//	a, err := memory.Open(server, nil)
//	...
//	b, err := memory.Open(server, nil)
//	...
//	server.Wipe() // or Restore, SetDown, Expire, ...
//
// # Guarantees
//
// It keeps the contract of package driver and promises nothing beyond it. It is
// as harsh as the worst of the real stores:
//
// A version of a key is a small counter. It starts again when the key is
// deleted and created again, and a put of equal bytes does not raise it. A
// connection that was reset, a wipe and a restore begin a new generation.
// Revisions go back with a restore. A directory never becomes a key again. A
// lease belongs to the driver that granted it.
//
// # Testing
//
// A Server and a [Driver] have methods for what happens to real stores and
// networks. Package faults adds lost replies, late commits and partitions.
//
// Time is the process's own. In a bubble of testing/synctest a lease ends
// exactly at its instant.
//
// # Mistakes to avoid
//
// Processes do not share a Server: for several processes use a real store.
// Nothing is kept when the process ends.
//
// # Costs
//
// Nothing polls. No goroutine belongs to a server, a driver, a lease or a
// watch. A watch runs on its caller's goroutine, and a timer ends a lease.
package memory
