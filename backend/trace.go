package backend

import "time"

// Trace is a set of callbacks for what happens in a Store and the primitives
// on it; any may be nil. They are called from the goroutines that do the work,
// concurrently, so they must not block and must not call into the library.
//
// An event carries each fact in a field of its own. Kinds and operations are
// constants of the program, and so fit for the labels of metrics. All other
// fields are for logs. Package bridge makes bounded labels of events.
//
// Watch TrustLeft of SessionRenewed first. A healthy session renews with about
// two thirds of its window left; the closer to zero it gets, the closer the
// process is to losing all it owns.
type Trace struct {
	// SessionGranted: a session was opened.
	SessionGranted func(SessionGranted)
	// SessionRenewed: a renewal counted.
	SessionRenewed func(SessionRenewed)
	// SessionRenewFailed: a renewal failed or did not count; more may follow
	// while the trust window lasts.
	SessionRenewFailed func(SessionRenewFailed)
	// SessionLost: a session is over, except by Close.
	SessionLost func(SessionLost)
	// CommitIndeterminate: the outcome of a commit is not known. The primitive
	// that sent it settles it by reading.
	CommitIndeterminate func(CommitIndeterminate)
	// Retrying: an operation failed that must succeed in the end. It is tried
	// again after a pause.
	Retrying func(Retrying)
	// WatchRestarted: a watch failed and is begun again with a fresh read.
	WatchRestarted func(WatchRestarted)
	// OwnershipBegan and OwnershipEnded: this process began, and ended, to own
	// something: an office in an election, a mutex, a permit, a slot of a partition.
	OwnershipBegan func(Ownership)
	OwnershipEnded func(Ownership)
	// BodyOverran: a body has not returned although its context ended a while
	// ago, so no other process can own what it runs. The report is repeated from
	// time to time.
	BodyOverran func(BodyOverran)
	// JobRan: a job of package schedule has returned.
	JobRan func(JobRan)
}

// SessionGranted says which session was opened.
type SessionGranted struct {
	Session string
	TTL     time.Duration // as granted
	Took    time.Duration
}

// SessionRenewed says how a renewal went that counted.
type SessionRenewed struct {
	Session string
	// TrustLeft is what was left of the window when the reply came.
	TrustLeft time.Duration
	// Late is how much later than planned the renewal began: this process was
	// not scheduled, or earlier attempts failed.
	Late time.Duration
	// Took is how long the store took to answer.
	Took time.Duration
}

// SessionRenewFailed says how a renewal failed.
type SessionRenewFailed struct {
	Session   string
	TrustLeft time.Duration
	Late      time.Duration
	Took      time.Duration
	// Answered: the store did answer, but the answer does not prove that the
	// session was prolonged.
	Answered bool
	Err      error
}

// SessionLost says which session is over, and why.
type SessionLost struct {
	Session string
	Cause   error
}

// CommitIndeterminate says which keys the commit was to write.
type CommitIndeterminate struct {
	Keys []string
	Err  error
}

// Retrying says which operation of which primitive is tried again.
type Retrying struct {
	Operation Operation
	Kind      Kind
	Name      string // of the primitive, empty for a session
	Attempt   int    // that failed, from 1
	Pause     time.Duration
	Err       error
}

// WatchRestarted says which watch failed.
type WatchRestarted struct {
	Target Target
	Err    error
}

// Ownership says what is or was owned, and why it ended.
type Ownership struct {
	Kind  Kind   // of the primitive, such as KindElection
	Name  string // of the primitive
	Slot  int    // of a partition, or the permit of a semaphore, from 0; 0 where there are none
	Token uint64 // the fencing token
	// Cause is why it ended, nil when it began.
	Cause error
	// Body is the error that the body returned, nil when it began or if there
	// was no body.
	Body error
}

// JobRan says which job has returned, and with what.
type JobRan struct {
	Kind Kind
	Name string // of the schedule
	Tick time.Time
	Term uint64 // of the leader that ran it
	Took time.Duration
	Err  error // that the job returned
}

// BodyOverran says which ownership has a body that does not return.
type BodyOverran struct {
	Ownership
	// For is how long ago its context ended.
	For time.Duration
}
