// Package quorate is the documentation of the module: leader election, exact
// counters and unique IDs, group membership, work partitioning and clean restarts
// on etcd, Consul, ZooKeeper or PostgreSQL. It has no code of its own. Import
// the primitive that you need, and the adapter of your store:
//
//	store, err := etcd.New(client, nil)
//	if err != nil {
//		return err
//	}
//	defer store.Close()
//	e, err := election.New(store, "billing/nightly", nil)
//	if err != nil {
//		return err
//	}
//	return e.Run(ctx, func(ctx context.Context, lead *election.Leadership) error {
//		return bill(ctx, lead.Term()) // returns when ctx ends
//	})
//
// # Which primitive when
//
//	one process at a time for a job, others take over    election
//	an exact number that all processes add to            counter.Counter
//	identifiers that no other process gets               counter.Sequence
//	statistics, counted too often to wait                counter.Tally
//	the list of the other processes                      membership
//	work in slots, each run by one process               partition
//	progress that the next process continues             restart.Checkpoint
//	drain, exit codes, supervision, any start-up order   restart
//	the same in one process, or in tests                 any, on backend/memory
//
// # Guarantees
//
// One at a time: a process stops acting as owner before the store can give its
// role to another process. The end is counted from the start of the last
// renewal that counts, by the process's own clock.
//
// Fencing: every owner has a token that is higher than those of all owners
// before it. The store refuses a commit with the guard of an ownership that is
// over.
//
// Nothing twice: the library never sends a commit again whose outcome is
// unknown. It reads the outcome from the store.
//
// Recovery: every primitive continues by itself after a lost session, an
// outage, a wipe or a restore of the store.
//
// No start-up order: creating a Store or a primitive does no I/O.
//
// No library can stop code that ignores its context, or a store that deletes
// keys before the time that it promised. docs/guarantees.md lists the limits,
// and names the test of each sentence.
//
// # How the packages depend on each other
//
// A primitive takes a *backend.Store, which an adapter creates: backend/etcd,
// backend/consul, backend/zookeeper, backend/postgres or backend/memory. The
// Store has everything that primitives share: one session with its trust
// window, shared watches, bounded calls and guarded commits. An adapter
// implements backend/driver, a contract in numbered clauses. Package
// backend/drivertest tests each clause. Package backend/faults makes any driver
// fail on demand, to test the failure handling of a service.
package quorate
