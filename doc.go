// Package quorate lets the processes of a service agree on who does what, over
// the coordination store that the team already runs: etcd, Consul, ZooKeeper or
// PostgreSQL. It has no code of its own; import the primitive that you need, and
// the adapter of your store.
//
// # Which primitive when
//
//	one process at a time does a job, the others take over   election
//	a lock around a piece of work, in order of arrival       lock.Mutex
//	n at a time, or a number for each worker                 lock.Semaphore
//	a number that all processes add to and read              counter.Counter
//	identifiers that no other process gets                   counter.Sequence
//	counting what happens too often to wait for              counter.Tally
//	who the other processes are, and where                   membership
//	work cut into slots, each run by one of them             partition
//	a worker that goes on where the last one was             restart.Checkpoint
//	a process that drains, restarts its parts, and starts    restart
//	before or after what it depends on
//	the same within one process, or in tests                 any, over backend/memory
//
// # How the packages stand on each other
//
// A primitive takes a *backend.Store, which an adapter makes: backend/etcd,
// backend/consul, backend/zookeeper, backend/postgres, backend/memory. The Store holds what all primitives share,
// once for each process: one session with its trust window, shared watches,
// bounded calls, commits guarded by an ownership. An adapter implements
// backend/driver, a small contract in numbered clauses, each of them a test in
// backend/drivertest that every store has to pass. Package backend/faults makes
// any driver fail as told, for tests of the failure handling of a service.
//
// # What is guaranteed
//
//	One at a time     What an ownership is good for ends, by its context, before
//	                  the store can give it to another: measured from the start
//	                  of the last renewal that counts, whether the store can be
//	                  reached or not.
//	Fencing           Every ownership has a token that grows from one owner to
//	                  the next. A commit with its guard is refused by the store
//	                  once the ownership is over.
//	Nothing twice     A commit whose outcome is not known is never sent again; it
//	                  is settled by what the store says.
//	It comes back     Every primitive goes on by itself after the loss of a
//	                  session, an outage, a wipe or a restore of the store.
//	No start-up order Making a Store and a primitive does no I/O.
//
// What nobody can guarantee (code that ignores its context, a store that gives
// keys away before the time it promised), and which test proves each sentence,
// is in docs/guarantees.md.
package quorate
