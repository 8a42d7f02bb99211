// Package consul stands Quorate on HashiCorp Consul: [New] makes a Store over
// an api.Client that stays the caller's, ACL token, TLS, datacentre and
// Enterprise namespace included.
//
// # What it needs
//
// Consul 1.10 or later. Keys are KV entries below the Store's namespace,
// "quorate" by default; ephemeral ones are locked by the Store's one session,
// whose Behavior is "delete". With ACLs on, this policy suffices, NODE being
// the node that sessions hang on (see [Options]):
//
//	key_prefix "quorate/" { policy = "write" }
//	session "NODE"        { policy = "write" }
//
// Where the servers set acl.enable_key_list_policy nothing more is needed:
// policy "write" includes "list". A Store that only looks needs "list" (or
// "read", where that is not set) on the prefix, and no session.
//
// The TTL must lie within what the servers allow: 10 s, or their
// session_ttl_min, to 24 h. The servers end a session no earlier than its TTL
// and at most about two TTLs after they last heard of it.
//
// # Sessions and nodes
//
// A Consul session hangs on a node of the catalog: by default that of the
// agent which the client talks to. When that node is deregistered all its
// sessions end at once, whatever their TTL, and a client agent deregisters
// itself when it is told to stop (leave_on_terminate is on by default for
// clients), so at each upgrade of the agent. Where that hurts, let sessions
// hang on a node of their own, registered once by whoever administers Consul:
//
//	consul catalog: PUT /v1/catalog/register {"Node": "quorate", "Address": "127.0.0.1"}
//
// and named in Options.Node; the policy then names that node. This package
// registers no node. A server that nobody could reach for a while is taken out
// of the catalog as well, by Consul's autopilot, and registers itself again;
// until then the Store waits for its next session. No health check is attached to a session: a flapping
// agent costs nothing.
//
// # Connections
//
// A watch is a blocking query, which holds a connection, and an agent allows
// 200 per client address by default. A driver holds at most
// Options.MaxBlockingQueries of them; since a server keeps one that was
// abandoned, or whose connection broke, until its wait is over, those count as
// well, and up to twice as many more may be left there when the way to it
// fails. What is watched beyond that is served by one of them, which waits for
// any change in the directory that those targets have in common and then
// re-reads them together: per change in there one query that names the keys one
// level below it, and one transaction for every 64 targets. Of other calls at
// most 16 are under way at a time, those apart that keep the session: a burst
// queues up.
//
// The client's transport must not repeat writes by itself (net/http's repeats
// reads alone), and should not bound connections per host below
// MaxBlockingQueries and a few more; if it does, watches give way to other calls.
package consul
