// Package zookeeper stands Quorate on Apache ZooKeeper: [Open] makes a Store
// over an ensemble, to which it holds connections of its own.
//
// # What it needs
//
// It is tested with ZooKeeper 3.8, and asks for nothing that 3.4 does not have.
// Keys are nodes below the Store's namespace, /quorate
// by default, ephemeral nodes where they go with the Store's session. The data
// of a node that is a key begins with "=", and the rest is the value. Nodes
// above the keys are made when they are needed, without data, and stay; they
// and whatever else has no "=" in front are no keys.
//
// Where the servers' tickTime is not ZooKeeper's default of 2 s, say so in
// [Options.Tick], or in any case when it is longer. The TTL must be at least
// two ticks, and lie within what the servers allow: 2 to 20 ticks, unless
// their minSessionTimeout and maxSessionTimeout say otherwise; a shorter one
// is raised by the servers, a longer one is refused.
//
// With digest identities ([Options.Auth]) these permissions suffice, for an
// identity "writer" and a namespace of one component that an operator has made:
//
//	create /quorate
//	setAcl /quorate digest:writer:HASH:rcd
//
// and READ on "/", which everybody has unless somebody took it away: reads and
// renewals ask for it (see below). What a Store creates has [Options.ACL]. A
// Store that only looks needs READ throughout.
//
// # Sessions and connections
//
// To ZooKeeper a session is a connection that may be replaced. A driver has two
// lines to the ensemble, each with one connection at a time: one for the
// session of the lease, over which go its renewals and the commits that create
// under it, and a common one for all reads, watches and other commits, whose
// own session nothing hangs on. They are apart so that the expiry of a lease
// does not touch what goes on without it, and so that each is witness that the
// store was up while the other was being replaced. Two connections, whatever
// is watched: a server allows an address 60 by default.
//
// Each connection has a zk client of its own that is closed with it. The client
// would connect again by itself, send what it had queued for the last
// connection on the next, and, where the session had expired, for a new
// session: a commit could create under a session that nobody knows of. Here
// what was handed to a connection is answered on it or never sent, and the
// session is carried over by the driver, which makes the handshake itself.
//
// A connection on which nothing was heard for an eighth of what the TTL has
// beyond a tick is asked for a sign of life, and replaced when none comes
// within a fifth of that: one silent server of several costs no session. Calls
// of the client that nobody waits for any more hold one of 64 places on their
// connection, until they are answered or it is replaced.
//
// # Reads and renewals
//
// A server answers reads from what it has, and a leader that was deposed, or a
// follower that lost its leader, does so for a while after. So each Read sends
// a commit of nothing first, a check that the root is there: the server
// answers that when a quorum has agreed to it and all before it is applied.
// What it costs: a write of the ensemble for each Read and each renewal, and a
// request for each key in a directory.
//
// A candidate reads its election's whole queue when it joins, so n of them that
// join at one moment make n² requests. A Read that is not done within a third of
// backend.Options.CallTimeout is given up and begun again: where the ensemble
// cannot answer n² requests in that time, they hinder each other and may get
// nowhere. Where hundreds of processes may start together, let them start over
// some seconds, or raise CallTimeout.
//
// A renewal is such a commit too, on the lease's connection, and counts what
// the server had acknowledged on it at least a tick before: a follower tells
// the leader, who alone knows when a session expires, at its next answer to a
// ping, and takes what it did not tell with it when it dies. So of a timeout of
// 4 s with a tick of 2 s, a little less than 2 s is what a Store trusts in
// after each renewal, and it renews about twice a second.
//
// # Restore
//
// A restore from a backup takes all servers to be stopped, or those that go on
// bring the others up to their own state. Versions from before are refused
// after it: to that end a driver refuses them after every time at which it had
// no connection.
package zookeeper
