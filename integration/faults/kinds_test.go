package faults

import (
	"context"
	"time"
)

// notification is how long two may own something where the store gave it away
// before its time: until the first hears of it, and where the store was away
// meanwhile until it can hear.
const (
	notification = 500 * time.Millisecond
	reconnection = 2 * time.Second
)

// kind is a kind of fault. What the fields say is the table of which invariant
// holds under which fault; what they do not mention always holds: adds exactly
// once, terms and tokens growing, guarded writes of stale terms refused, the
// checkpoint never going back, numbers unique, one owner at a time.
type kind struct {
	name   string
	inject func(context.Context, *run) error
	stores string // that it is for, all if empty
	// early: the store may take things away before their time, so two may own
	// a thing for so long, except with Strict.
	early time.Duration
	// back: the store goes back. What is newer than the backup is lost, and
	// only what is there since is held against the backup (history.rewinds).
	// Two may own a thing, with Strict too if the backup is of a moment at
	// which nobody did.
	back bool
	// held: more than half of the members may vanish at once, and the group
	// then holds them for its grace period, which is two TTLs by default.
	held bool
}

// overlap is how long two may own a thing.
func (k kind) overlap(what string) time.Duration {
	if what == strict && !k.back {
		return 0
	}
	return k.early
}

// extra is what the kind adds to the bounds of what is made of views.
func (k kind) extra(r *run) (extra time.Duration) {
	if k.held {
		extra += 2 * r.ttl
	}
	return extra
}

var kinds = []kind{
	// Servers.
	{name: "leader killed", inject: leaderKilled, early: notification},
	{name: "follower killed", inject: followerKilled},
	{name: "leader paused", inject: leaderPaused, early: reconnection},
	{name: "follower paused", inject: followerPaused},
	{name: "quorum lost", inject: quorumLost},
	{name: "full outage", inject: outage},
	// The network of clients.
	{name: "a client parted", inject: clientParted},
	{name: "all clients parted", inject: clientsParted},
	// On PostgreSQL the primary serves them all.
	{name: "clients parted from one server", inject: partedFromOne, stores: "etcd consul zookeeper"},
	{name: "one-way loss", inject: oneWay},
	{name: "latency and jitter", inject: latency},
	{name: "replies held and released", inject: repliesHeld},
	{name: "requests held and released", inject: requestsHeld},
	{name: "connections reset", inject: resets},
	// Clients.
	{name: "client paused", inject: clientPaused},
	{name: "client killed", inject: clientKilled},
	// What the store holds.
	{name: "store wiped", inject: wiped, early: reconnection, back: true, held: true},
	{name: "backup restored", inject: restored, early: reconnection, back: true, held: true},
	{name: "backup restored, no revision bump", inject: restoredPlain, stores: "etcd", early: reconnection, back: true, held: true},
	// Hands.
	{name: "keys deleted by hand", inject: keysDeleted, early: notification, held: true},
	{name: "sessions ended by hand", inject: sessionsEnded, early: notification, held: true},
	{name: "server emptied", inject: serverEmptied},
	{name: "server with a wrong configuration", inject: serverMisconfigured},
	{name: "member removed", inject: memberRemoved, stores: "etcd consul"},
	// Refusals.
	{name: "store full", inject: storeFull, stores: "etcd"},
	{name: "permissions taken for a moment", inject: refusedForAMoment},
	{name: "limits on requests", inject: limited, stores: "consul"},
	{name: "server made read-only", inject: readOnly, stores: "postgres"},
	// What is special to a server that has a clock, and a tool that promotes another.
	{name: "standby promoted beside the primary", inject: deposedAlive, stores: "postgres"},
	{name: "connections ended by the server", inject: connectionsEnded, stores: "postgres"},
	{name: "connections used up", inject: connectionsUsedUp, stores: "postgres"},
	{name: "clock stepped forward", inject: clockForward, stores: "postgres", early: notification, held: true},
	{name: "clock stepped back", inject: clockBack, stores: "postgres"},
	// Crowds.
	{name: "reconnect storm of 300 clients", inject: reconnectStorm, stores: "etcd consul zookeeper"},
	{name: "reconnect storm of 20 clients", inject: reconnectStorm, stores: "postgres"},
}
