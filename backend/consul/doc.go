// Package consul is the adapter for HashiCorp Consul, over an api.Client that
// the caller owns.
//
//	client, err := api.NewClient(api.DefaultConfig())
//	if err != nil {
//		return err
//	}
//	store, err := consul.New(client, nil)
//	if err != nil {
//		return err
//	}
//	defer store.Close()
//
// [New] does no I/O. ACL token, TLS, datacentre and Enterprise namespace are
// the client's.
//
// # Requirements
//
// Consul 1.10 or later. Keys are KV entries below the Store's namespace
// (default "quorate"). Ephemeral keys are locked by the Store's one session,
// whose Behavior is "delete". With ACLs this policy suffices. NODE is the node
// to which sessions belong (see [Options]):
//
//	key_prefix "quorate/" { policy = "write" }
//	session "NODE"        { policy = "write" }
//
// This also holds if the servers set acl.enable_key_list_policy, since policy
// "write" includes "list". A Store that only reads needs "list" on the prefix,
// or "read" without that setting, and no session.
//
// The TTL must be between 10 s, or the servers' session_ttl_min, and 24 h.
//
// # Guarantees
//
// The servers end a session no earlier than its TTL, and at most about two TTLs
// after its last renewal. No health check is attached to a session, so a
// flapping agent costs nothing.
//
// # Mistakes to avoid
//
// A Consul session belongs to a node of the catalog: by default the node of the
// agent to which the client connects. When that node is deregistered, all its
// sessions end at once. A client agent deregisters itself when it is stopped,
// because leave_on_terminate is on by default for clients. So each upgrade of
// the agent ends the sessions. To avoid this, register a node for the sessions
// once, and name it in Options.Node and in the policy:
//
//	consul catalog: PUT /v1/catalog/register {"Node": "quorate", "Address": "127.0.0.1"}
//
// This package registers no node.
//
// The client's transport must not repeat writes by itself (net/http repeats
// only reads). It should not bound connections per host below
// MaxBlockingQueries and a few more. If it does, watches give way to other
// calls.
//
// # Failures
//
//	an agent or server fails          calls are ErrUnavailable, or ErrIndeterminate
//	                                  for a commit under way
//	no leader                         calls are ErrUnavailable until there is one
//	the session's node is removed     the session is lost at once; the Store opens
//	                                  another when the node is registered again.
//	                                  Autopilot removes a server that nobody could
//	                                  reach for a while, and it registers itself
//	                                  when it is back
//	rate limits                       ErrOverloaded; the Store slows down
//	restore from a snapshot           versions from before are refused
//
// # Costs
//
// A watch is a blocking query, which needs a connection. An agent allows 200
// connections per client address by default. A driver uses at most
// Options.MaxBlockingQueries of them for watches (default 32). A server keeps a
// query that was abandoned, or whose connection broke, until its wait is over.
// Those count too, and up to twice as many more may remain there when the
// network fails.
//
// Targets beyond that bound share one query. It waits for any change in the
// directory that those targets have in common, and then reads them again
// together. Per change this costs one query that names the keys one level below
// the directory, and one transaction for every 64 targets.
//
// At most 16 other calls are under way at a time, and the session's renewals
// come on top. More calls wait.
package consul
