// Package memory is the reference driver: a coordination store inside the
// process, for tests and for services that run as a single process.
//
// It keeps the contract of package driver exactly and promises nothing beyond
// it, being as harsh as the worst of the real stores: the number in a version
// is a small counter of the key which starts again when the key is deleted and
// created anew, and which a put of equal bytes leaves alone; a connection that
// was reset, a wipe and a restore begin a new generation; revisions go back
// with a restore; a directory never becomes a key again; a lease belongs to the
// driver that granted it.
//
// A [Server] is the store and a [Driver] one client of it; several drivers
// stand for several processes. Both have methods that bring about what befalls
// real stores and networks, for the tests of whatever is built on top.
//
// A service's own tests run over it as well, with package faults for what goes
// wrong on the way: see there.
//
// Time is the process's own: in a bubble of testing/synctest a lease ends at
// exactly its instant. Nothing polls, and no goroutine belongs to a server, a
// driver, a lease or a watch: a watch runs on its caller's, and a lease that
// runs out is ended by the timer.
package memory
