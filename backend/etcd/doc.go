// Package etcd is the adapter for etcd, over a client that the caller owns.
//
//	client, err := clientv3.New(clientv3.Config{
//		Endpoints:            []string{"etcd-0:2379", "etcd-1:2379", "etcd-2:2379"},
//		DialKeepAliveTime:    10 * time.Second, // gRPC takes no less
//		DialKeepAliveTimeout: 2 * time.Second,
//	})
//	...
//	defer client.Close()
//	store, err := etcd.New(client, nil)
//	...
//	defer store.Close()
//
// # What it uses of the client
//
// The adapter speaks over the client's connection
// ([clientv3.Client.ActiveConnection]), so endpoints, TLS, user and password,
// tokens and dial options are the client's. The fields KV, Lease and Watcher of
// the client are not used: a wrapper put there (package namespace, for
// instance) has no effect on Quorate's keys. The client must speak to the
// servers themselves; a TCP proxy or a load balancer in between is fine, etcd's
// "grpc-proxy" is not.
//
// A Store costs one lease, one request stream for all of its watches, and per
// renewal one keep-alive and one linearizable read (with user and password the
// client also asks for a token each time it opens a stream, so one more). A
// watch stream on which nothing was heard for two seconds is asked for a sign
// of life, and given up when none comes within three. A watch that is told of
// less than it has read asks whether the store went back, which takes five
// seconds at most. So a watch is never deaf for longer than that, whatever
// became of the connection. Give the
// client keep-alives of its own, as above, all the same: without them a
// connection whose other end vanished stays in use until the kernel gives up
// on it, a quarter of an hour later. The session survives that, for a renewal,
// as any read, asks the next server when one is silent; but the client takes its
// endpoints in turn, so of three about every third commit goes there, and its
// outcome stays unknown until a read tells.
//
// # What it needs of the server
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
// it the adapter notices, as soon as it is answered, that the revision went
// back, and refuses every commit that is based on what was read before; it
// cannot notice when the restored store has passed the last revision that this
// process has seen before it is asked again.
package etcd
