package backend

import "fmt"

// Kind is a kind of primitive. It is the first component of the keys of a
// primitive and a field of its events. A metric may have a label for it, because
// it is a constant of the program: convert no other text to a Kind.
type Kind string

// The kinds of this library. A primitive built elsewhere declares its own.
const (
	KindSession    Kind = "session" // the Store's own, without keys or a name
	KindElection   Kind = "election"
	KindMutex      Kind = "mutex"
	KindSemaphore  Kind = "semaphore"
	KindMembership Kind = "membership"
	KindPartition  Kind = "partition"
	KindCheckpoint Kind = "checkpoint"
	KindCounter    Kind = "counter"
	KindSequence   Kind = "sequence"
	KindTally      Kind = "tally"
	KindQuota      Kind = "quota"
	KindSchedule   Kind = "schedule"
	KindIDs        Kind = "ids"
)

// kinds are all of them: Store.Put leaves their keys alone.
var kinds = []Kind{
	KindSession, KindElection, KindMutex, KindSemaphore, KindMembership, KindPartition, KindCheckpoint, KindCounter, KindSequence, KindTally,
	KindQuota, KindSchedule, KindIDs,
}

// Operation is a step of a primitive, such as "campaign". It is a constant of
// the program as a Kind is, so it contains no name, key or number.
type Operation string

// Subject is the primitive that an event concerns.
type Subject struct {
	Kind Kind
	Name string
}

// String returns the subject as errors name it, such as
//
//	election "billing/nightly"
func (s Subject) String() string { return fmt.Sprintf("%s %q", string(s.Kind), s.Name) }
