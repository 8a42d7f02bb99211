// Package cluster runs real etcd, Consul, ZooKeeper and PostgreSQL clusters on this
// machine and breaks them on purpose: the ground on which the library's
// guarantees are tested. It is for tests and for the programs beside it.
//
//	c, err := cluster.StartEtcd(cluster.EtcdConfig{})
//	defer c.Close()
//	leader, err := c.Leader(ctx)
//	err = leader.Pause()        // or Kill, Stop; then Resume, or Start
//	next, err := c.Leader(ctx)  // the others have elected another
//
// It needs no testing.T, so that a TestMain can share one cluster among the
// tests of a package. A [Cluster] is three servers unless told otherwise, each
// a process of its own with its own directory and ports, on loopback, with the
// durability that it has in production. Whatever has to be waited for is asked
// of the servers, never slept for.
//
// # The network between
//
// A [Proxy] stands between a client and one server, [Proxies] between a client
// and a cluster. Each client under test gets its own, so that it can be cut off
// while others are not:
//
//	net, err := cluster.NewProxies(c)
//	client := open(net.Addrs())
//	net.Silence()               // a partition: nothing passes, nothing fails
//	net.HealReset()             // what was open before is reset, new ones pass
//
// To deliver one reply late and nothing after it: HoldReplies, Await until
// Stats.HeldReplies is above zero, FlushReplies, Silence. To let a commit land
// whose caller gave up: HoldRequests, Await, end the call, ReleaseRequests.
//
// None of the three clients learns other addresses from its servers unless it
// is told to (etcd's AutoSync), so none finds a way around its proxies. What is
// between the servers has no proxy: pause servers to part them.
//
// PostgreSQL elects nobody. Its cluster is a primary and two standbys, of which
// each commit waits for one, and a tool that promotes a standby when the primary
// is silent ([Cluster.Depose] does so although it is not). A [Postgres] is a
// single server, and what conformance tests take apart by hand.
//
// # Getting the servers
//
// make servers gets what is missing, and is not needed for etcd and Consul,
// which are built on first use into the user's cache directory: etcd from
// cmd/etcdnode in seconds to a minute, Consul from tools/consul in 5 to 8
// minutes and up to 4 GB. ZooKeeper and PostgreSQL are the Debian packages of
// these names.
// QUORATE_CONSUL (a program) and QUORATE_ZOOKEEPER_CLASSPATH (a Java class
// path) name others.
//
// On a busy machine of two cores, three servers take to serve: etcd 1.5 to
// 2.6 s, Consul 1.6 s, ZooKeeper 1.7 to 2.6 s; one server: etcd 1 s, Consul
// 2 s, ZooKeeper 0.4 s. After the leader is killed another leads within: etcd
// 1.2 s, Consul 2.5 s, ZooKeeper 0.7 s; after it is paused: 1.2, 3 and 2.9 s.
// etcd may take 7 s to stop in order while clients are connected; Kill is
// immediate.
//
// # What is left behind
//
// Nothing. Close kills the servers and removes their data. If this process
// dies first, Linux kills them with it, and the next process that starts a
// cluster removes their data. Ports are reserved among the processes that use
// this package, and lie below those that the kernel gives to outgoing
// connections, so that a server or proxy that comes back finds its own free.
package cluster
