// Package etcd is the adapter for etcd, over a client that the caller owns.
//
//	client, err := clientv3.New(clientv3.Config{
//		Endpoints: []string{"etcd-0:2379", "etcd-1:2379", "etcd-2:2379"},
//	})
//	if err != nil {
//		return err
//	}
//	defer client.Close()
//	store, err := etcd.New(client, nil) // no I/O: no server need be up
//	if err != nil {
//		return err
//	}
//	defer store.Close() // before the client
//
// # The client
//
// The adapter has the client connect to each endpoint
// ([clientv3.Client.Dial]), so TLS, user and password, tokens and dial options
// are the client's. It follows the endpoints when the client's change. The
// fields KV, Lease and Watcher of the client are not used: a wrapper put there
// (package namespace, for instance) has no effect on Quorate's keys. The client
// must speak to the servers themselves; a TCP proxy or a load balancer in
// between is fine, etcd's "grpc-proxy" is not.
//
// A Store costs one connection to each endpoint, one lease, one request stream
// for all of its watches, and per renewal one keep-alive and one linearizable
// read. The client's own connections come on top once it is used otherwise.
// With user and password it is: the client authenticates over them.
//
// # Servers that do not answer
//
// A call that has waited for half a second has its server asked for a sign of
// life, and again every half second. If nothing is heard for one and a half
// seconds, the connection is given up with all calls on it. The outcome of a
// commit is unknown then, and a read at another server tells. A commit is never
// sent again. It is also given up when its server has lost its raft leader, or
// has another one: the earlier leader may have lost the commit. So the outcome
// of a commit is settled within 3 s when a server is silent. It takes up to 5 s
// when that was the raft leader, since another must be elected first.
//
// Calls avoid a server on which another call waits for more than a quarter of a
// second. Commits also avoid those that have not answered for five seconds. A
// connection that took the place of one given up is used by them once its server
// has answered. A read or a renewal asks the next server when one is silent.
//
// A watch stream on which nothing was heard for two seconds is asked for a sign
// of life, and given up when none comes within three. Its watches continue on
// another stream, from the revision that they have seen. Two to four seconds
// later each reads, since the store may have been restored meanwhile. A watch
// that is told of less than it has read asks whether the store went back, which
// takes five seconds at most. So a watch is never deaf for longer than that,
// whatever became of the connection.
//
// Keep-alives of the client's own (DialKeepAliveTime) are not needed for this.
// With user and password they are of use: an authentication that goes to a silent
// server over the client's own connections takes 3 s to fail.
//
// # User and password
//
// The client authenticates when it opens a stream, and when a server refuses its
// token. To authenticate costs a server a tenth of a second of a core. At rest
// the adapter opens no stream: it sends a keep-alive as a unary call. Calls that
// are refused for the same token authenticate once, together. So there
// is one authentication for each watch stream, and one when the token expires.
//
// # Requirements
//
// etcd 3.5 or newer. With authentication on, a role with readwrite on
// the keys of the namespace suffices:
//
//	etcdctl role grant-permission quorate --prefix=true readwrite quorate/
//
// Leases can be granted and revoked by every user; a lease can be prolonged by
// who may write all keys that hang on it.
//
// A restore from a backup should bump the revision
// ("etcdutl snapshot restore --bump-revision ... --mark-compacted"). Without
// it the adapter notices with the next answer that the revision went back. It
// then refuses every commit that is based on an earlier read. It cannot notice if
// the restored store has passed the last revision that this process has seen by
// then.
package etcd
