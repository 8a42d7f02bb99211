// Package simulation runs all primitives at once: several processes, each with
// one Store, use elections, counters, a group, a partition and checkpoints on
// one store, in virtual time, while calls fail at random and disasters happen to
// the processes and to the store. Checkers that know of the library only what
// its users see, and of the store what was committed when, hold the promises of
// docs/guarantees.md against what happened; which promise stands under which
// fault is a table (rules).
//
//	go test ./internal/simulation -seeds 2000
package simulation

import (
	"slices"
	"strings"
	"time"
)

// promises is a set of what the checkers hold the library to, as far as nothing
// has happened that takes it away.
type promises uint

const (
	// oneLeader: no two tenures of the plain election overlap, and no two
	// holders of the mutex or of a permit. Without it: by the length of a
	// notification at most.
	oneLeader promises = 1 << iota
	// oneStrictLeader is the same of the Strict election.
	oneStrictLeader
	// termsGrow: each tenure has a higher term than all that began before it,
	// and each holder of a lock a higher token.
	termsGrow
	// oneOwner: no slot is run twice at a time. Without it: for the length of a
	// notification at most.
	oneOwner
	// oneStrictOwner is the same where the partition is Strict.
	oneStrictOwner
	// tokensGrow: of a slot, no owner has a token that is not above those of
	// the owners before it.
	tokensGrow
	// nothingLost: what the store acknowledged stays: counts, flushed sums,
	// numbers and saves. Without it the same holds of what was acknowledged
	// since, on top of what the backup has.
	nothingLost
	// numbersUnique: no number is handed out twice. Without it: none of those
	// that were handed out before the backup was taken, and within a process
	// numbers grow all the same.
	numbersUnique
)

// What stands whatever happens, so is in no row of the table: once a later owner
// wrote under its guard, no earlier one does; a checkpoint never goes back
// within one history of the store; an Add is applied once at most, and never
// after it was reported as not applied; a process's numbers grow; and once all
// is quiet every view shows exactly who lives, each election has one leader and
// each slot one owner, all are at work within the bounds of recovery_test.go,
// and when all have left nothing is there but what the documentation names.

// fault is a kind of thing that happens.
type fault int

const (
	callsFail fault = iota
	cutOff
	connected
	reset
	silent
	lateThenSilent
	muted
	paused
	watchesCut
	crashed
	restarted
	left
	joined
	storeDown
	storeUp
	expireLate
	expireEarly
	keyDeleted
	wiped
	restored
	faultKinds
)

// rules says of each fault what it takes away.
var rules = [faultKinds]struct {
	what  string
	takes promises
}{
	callsFail:      {what: "calls are slow, refused, lose their replies, or land after their caller gave up; renewals do not count"},
	cutOff:         {what: "a process is cut off: what it sends waits"},
	connected:      {what: "a process is connected again"},
	reset:          {what: "the connections of a process are reset"},
	silent:         {what: "nothing that a process sends arrives, nothing fails"},
	lateThenSilent: {what: "the reply to a renewal comes as late as still counts, and nothing that the process sends arrives after it"},
	muted:          {what: "what a process sends arrives, and it hears nothing"},
	paused:         {what: "a process is silent for a while, and goes on"},
	watchesCut:     {what: "the watches of a process fail"},
	crashed:        {what: "a process crashes; what it has sent may still land"},
	restarted:      {what: "a process crashes and starts again under its ID"},
	left:           {what: "a process ends in order"},
	joined:         {what: "a process starts"},
	storeDown:      {what: "the store goes down"},
	storeUp:        {what: "the store comes up"},
	expireLate:     {what: "the store keeps the leases of a process longer than it promised"},
	expireEarly: {
		what:  "the store gives up the leases of a process before their time, and does not say so",
		takes: oneLeader | oneOwner,
	},
	keyDeleted: {
		// Of what holds an election's number only one key in each, and no
		// counter or checkpoint: the documentation says why.
		what:  "a key of an election, lock, group or partition is deleted by hand",
		takes: oneLeader | oneOwner | tokensGrow,
	},
	wiped: {
		what:  "the store loses everything",
		takes: oneLeader | oneOwner | termsGrow | tokensGrow | nothingLost | numbersUnique,
	},
	restored: {
		what:  "an older backup is restored",
		takes: oneLeader | oneStrictLeader | oneOwner | oneStrictOwner | termsGrow | tokensGrow | nothingLost | numbersUnique,
	},
}

// The kinds of seeds, by the faults that they draw from.
var kinds = []struct {
	name   string
	faults []fault
}{
	{"gentle", gentle},
	{"early", append(slices.Clip(gentle), expireEarly, expireEarly, keyDeleted, keyDeleted)},
	{"all", append(slices.Clip(gentle), expireEarly, keyDeleted, wiped, restored, restored)},
}

var gentle = []fault{
	cutOff, connected, reset, silent, lateThenSilent, muted, paused, watchesCut, crashed, restarted,
	left, joined, storeDown, storeUp, expireLate,
}

const (
	ttl      = 10 * time.Second
	maxDelay = 2 * time.Second // of a request and of a reply
	// renewLate is how late the reply to a renewal is that is still waited for:
	// a quarter of the window. It is longer than the margin, so that trust counted
	// from the reply would outlive the lease.
	renewLate = 2200 * time.Millisecond
	maxLate   = 3 * ttl // until a commit lands whose caller gave up
	late      = 2 * ttl // of a lease that is kept too long

	// notification is how long it takes at most to hear that a key has gone: the
	// watch failed, begins again and is slow.
	notification = 4*maxDelay + 3*time.Second
)

// deletable says whether a key may be deleted by hand, and whether it holds the
// number of which election.
func deletable(key string) (numberOf string, ok bool) {
	parts := strings.Split(key, "/")
	if len(parts) < 4 {
		return "", false
	}
	switch kind, name, what := parts[1], parts[2], parts[3]; kind {
	case "election":
		if what == "term" || what == "tenure" {
			numberOf = name
		}
		return numberOf, true
	case "membership", "partition":
		return "", true
	case "mutex", "semaphore":
		return "", what == "queue" || strings.HasSuffix(key, "leader")
	}
	return "", false
}
