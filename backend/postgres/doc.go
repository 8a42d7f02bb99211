// Package postgres is the adapter for PostgreSQL, over a pool that the caller
// owns.
//
//	pool, err := pgxpool.New(ctx, "postgres://app@db-0,db-1/app?target_session_attrs=primary&connect_timeout=2")
//	...
//	defer pool.Close()
//	store, err := postgres.New(pool, nil)
//	...
//	defer store.Close()
//
// The schema must be there before anything works; until then every call is
// ErrUnavailable. [Migrate] makes it, and so does the file schema.sql of this
// package. The page docs/postgresql.md says what PostgreSQL gives and what it
// does not.
//
// # Requirements
//
// PostgreSQL 13 or later. The role that runs Migrate owns the schema and needs
// CREATE on the database, nothing else. A process connects with another role:
//
//	GRANT USAGE ON SCHEMA quorate TO app;
//	GRANT EXECUTE ON FUNCTION quorate.read, quorate.status, quorate.commit,
//		quorate.acquire, quorate.renew, quorate.revoke TO app;
//
// A process that only observes needs USAGE, and EXECUTE on quorate.read and
// quorate.status. Both roles can read no table. Their sessions must have the
// default isolation level "read committed" and must not be read-only.
//
// With one server, a commit is lost only with the server's disk. With standbys,
// commits must wait for one: set synchronous_standby_names so that a standby
// which may be promoted has every acknowledged commit. An asynchronous standby
// that is promoted breaks clauses C1, C2 and C6 of the contract. [Check] reports
// such a set-up as [ErrAsynchronous].
//
// # Statements
//
// Every call is one statement, one transaction and one round trip. It calls a
// function of the schema, so no lock is held while the server waits for a
// client. A commit locks its namespace's row first; revisions are in the order
// of commits. Statements are never prepared under a name and need no state of
// a session, so they may go through PgBouncer in transaction mode.
//
// An error from the server means that the commit was not applied: serialization
// failures, deadlocks, timeouts. The outcome is unknown when the answer is
// lost, when a connection ends with a FATAL error, and when somebody cancels
// the server's wait for its standby. A connection that the server closed while
// it was idle is noticed before it is used.
//
// Where a commit waits for a standby, a read waits for it too. So a primary that
// was deposed, and does not know it yet, answers nothing.
//
// # Leases
//
// A lease is a row with the time of its expiry by the server's clock
// (clock_timestamp). The first call after that time deletes the row and the keys
// of the lease in one step; that call sees them no more, nor does any later one.
// A call reads the clock after it has locked the row, and a renewal locks the
// row too: a lease is never judged while its renewal is under way.
//
// The TTL is rounded up to milliseconds (minimum 1 ms, maximum 24 h). A renewal
// counts when the server has answered that it committed, with its standby if it
// waits for one. It is good for the TTL from the start of the call. The keys of
// a process that died go within the TTL and a second, even if nobody but
// observers is left.
//
// The first call after a restart, a failover or a restore gives every lease its
// TTL once more, before any is judged: the clock is another one. A step of the
// clock forward ends leases early; processes learn of it as of any early
// revocation. A step back lets the keys of dead processes stay longer.
//
// # Watches
//
// All watches of a Store share one connection that listens. The adapter takes
// it out of the pool, so it does not count against the pool's size. A
// notification only says which keys to read again; the reads are made together,
// in one statement. Every 5 seconds, and when a lease is due to expire, the
// adapter compares the store's revision and reads again if it moved. So a lost
// notification delays a change by 5 seconds at most. While no connection
// listens it looks every half second.
//
// Set [Options.Poll] behind PgBouncer in transaction mode: notifications do not
// come through there. A change is then seen within that interval.
//
// # Connections
//
// A Store uses the pool for single calls, a few at a time, and one connection
// for listening. Give the pool at least 4 connections, and give it
// connect_timeout; without one, a call that needs a new connection may wait for
// a silent server until its own deadline. Name all servers, with
// target_session_attrs=primary.
//
// A call returns when its context ends. Its connection stays out of the pool
// until the server has ended the statement, 2 seconds at most. After 300 ms the
// statement is cancelled.
package postgres
