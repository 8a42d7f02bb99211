// Package zookeeper is the adapter for Apache ZooKeeper.
//
//	store, err := zookeeper.Open([]string{"zoo-0:2181", "zoo-1:2181", "zoo-2:2181"}, nil)
//	if err != nil {
//		return err
//	}
//	defer store.Close()
//
// [Open] does no I/O: no server need be up. An address is host or host:port. A
// chroot is backend.ErrInvalid: backend.Options.Namespace says where the keys are.
//
// # Requirements
//
// The adapter is tested with ZooKeeper 3.8.0. It works with 3.4 and later, and
// is cheap with 3.6.0 and later (see Costs). Prefer 3.8.5, 3.9.4 or later.
// Older ones can lose what they acknowledged when servers fail while others
// join. Those before 3.8.4 and 3.9.2 report changes to clients that may not read
// the node.
//
// Keys are nodes below the Store's namespace (default /quorate). A key that
// belongs to the Store's session is an ephemeral node. The data of a key begins
// with "=", and the rest is the value. The adapter creates the nodes above a
// key when they are needed, without data, and leaves them there. A node whose
// data does not begin with "=" is no key.
//
// Set [Options.Tick] if the servers' tickTime is longer than ZooKeeper's
// default of 2 s. The TTL must be at least two ticks. The servers allow 2 to 20
// ticks, unless minSessionTimeout and maxSessionTimeout say otherwise. They
// raise a shorter TTL and the adapter refuses to run with a longer one.
// backend.Options.Margin may be at most half of what the TTL has beyond a tick.
//
// With digest identities ([Options.Auth]) these permissions suffice, for an
// identity "writer" and a namespace of one component that an operator has
// created:
//
//	create /quorate
//	setAcl /quorate digest:writer:HASH:rcd
//
// The adapter also needs READ on "/", which everybody has by default: reads and
// renewals check that the root exists. The nodes that a Store creates have
// [Options.ACL]. A Store that only reads needs READ on everything.
//
// From 3.8.4 and 3.9.2 on, a server reports the changes of a node only to
// clients that may read it. If READ is taken away and given back, a watch may
// show what happened meanwhile up to 10 minutes late.
//
// # Limits
//
// The paths of a Store's ephemeral keys may come to 512 KiB together, 4 bytes
// added for each: about 5,000 keys with paths of 100 bytes. A commit that would
// exceed this fails with ErrTooLarge. The transaction that ends a session names
// all its ephemeral nodes. If that exceeds jute.maxbuffer (default 1 MiB) by
// too much, the ensemble loses its quorum and does not start again. Do not
// lower jute.maxbuffer below its default.
//
// A request asks for at most 1,024 nodes and has at most 256 KiB. The adapter
// does not read an answer above 32 MiB: it closes the connection and asks for
// fewer nodes at a time from then on.
//
// # Failures
//
//	a server fails or falls silent   the connection moves to another server with
//	                                 its session; the other connection is to
//	                                 another server, if there are two
//	no quorum                        every call is ErrUnavailable, or
//	                                 ErrIndeterminate for a commit under way
//	the session expires              its keys are gone; the Store opens another
//	a connection is lost             watches read again what they show; versions
//	                                 read before are refused, unless the other
//	                                 connection was up meanwhile
//	an event is lost                 the watch notices with the next event, and
//	                                 after 10 minutes at the latest
//	restore from a backup            versions from before are refused; stop all
//	                                 servers for a restore
//
// # Costs
//
// A driver has two connections, whatever it watches. A server allows 60 for an
// address by default. At rest it renews the session, which is a write of the
// ensemble, and asks each connection for a sign of life.
//
//	                                 3.6 and later       before 3.6
//	read a key                       2 requests          2 requests
//	read a directory                 3 requests          2, and 1 for each key
//	begin to watch a directory       4 requests          2, and 1 for each key
//	a change in a watched directory  1 request           2 requests
//	after a reconnect, for each      4 requests          2, and 1 for each key
//	watched directory
//
// A read of more than 1,024 keys takes one more request for each 1,024. One
// request of each read is a write of the ensemble. A change in a group of 1,000
// costs each process that watches about 500 bytes.
//
// ZooKeeper 3.6.0 added a request for the data of several nodes (multiRead) and
// recursive watches (addWatch). The adapter asks each server once whether it
// knows them, on the common connection. An older server closes the connection
// and keeps the session. It is asked again after an hour, as it may have been
// upgraded. Servers without recursive watches (zookeeper.watchManagerName) are
// treated alike. Servers other than 3.8.0, and ensembles of mixed versions, were
// tested with a fake server that speaks the protocol, not with real ones.
//
// # Sessions and connections
//
// ZooKeeper binds a session to one connection at a time. One connection carries
// the session of the lease: its renewals, and the commits that create keys
// under it. The common connection carries all reads, watches and other commits;
// nothing depends on its session. They are two so that the expiry of a lease
// does not disturb the rest, and so that each proves that the store was up
// while the other was replaced.
//
// Each connection has a zk client of its own, which is closed with the
// connection. The client alone would reconnect by itself and send queued
// requests of the last connection on the next. It would open a new session after
// an expiry: a commit could create keys under a session that nobody knows. Here a request
// is answered on its own connection or never sent. The adapter makes the
// handshake itself and carries the session to the next connection.
//
// Commits go through the zk client. The adapter sends its reads, watches and
// renewals itself, with request numbers that the client does not use. No number
// comes again in a session: a server that lags would take the outcome of a request
// on the last connection for that of one on this.
//
// The adapter sends a request if it heard nothing on a connection for an eighth
// of what the TTL has beyond a tick. It replaces the connection if no answer
// comes within a fifth of that. So one silent server costs no session. A call
// that nobody waits for any more holds one of 64 places on its connection,
// until it is answered or the connection is replaced.
//
// # Reads, watches and renewals
//
// A server answers reads from its own state. A deposed leader, or a follower
// that lost its leader, does so for a while. So the adapter sends a commit of
// nothing in front of each read, a check that the root exists. The server
// answers it when a quorum has agreed to it and all before it is applied. The
// reads behind it are sent at the same time: a session's reads wait for its own
// earlier writes.
//
// A watch of a directory lists the names once, reads the values, and then
// applies the events one by one. After an event it reads the nodes that changed
// together with the directory, whose stat counts the changes of its children.
// If the count and the events differ, it reads everything again. It also does
// so every 10 minutes.
//
// A renewal is a commit of nothing on the lease's connection. It is credited
// with the newest request that the server had acknowledged on this connection
// at least a tick before. A follower reports the sessions that it heard from to
// the leader with its next answer to a ping. The leader alone expires sessions,
// and what the follower did not report is lost if it dies. So with a timeout of
// 4 s and a tick of 2 s, a Store trusts a renewal for a little less than 2 s. It
// renews about twice a second.
package zookeeper
