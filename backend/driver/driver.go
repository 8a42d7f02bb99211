package driver

import (
	"context"
	"time"
)

// Driver is one client of one store. [backend.Store] is its only intended
// caller; the conformance suite in drivertest is the other.
//
// All methods may be called concurrently. Every call must honour clause C9:
// it returns promptly once its context ends, whatever the network does. A
// driver does not retry a commit and does not log; what it cannot settle it
// reports, and the Store above decides.
//
// [backend.Store]: https://pkg.go.dev/github.com/quorate/quorate/backend#Store
type Driver interface {
	// Read reads the targets in the order given and returns, for each, its
	// entries sorted by key. Every read is linearizable (C1) and takes effect
	// no earlier than the one before it, so what a later target shows is never
	// older than what an earlier one showed. An absent key and an empty
	// directory are an empty slice, not an error.
	Read(ctx context.Context, targets ...Target) ([][]Entry, error)

	// Commit applies all operations of txn in one atomic step if all its
	// conditions hold, and nothing otherwise (C2, C3). A nil error means that
	// the outcome is known and in the Result.
	Commit(ctx context.Context, txn Txn) (Result, error)

	// Watch calls changed with the target's state as read after Watch was
	// called, and again after each later change. It ends when ctx ends or the
	// watch fails, and returns the reason. It may skip states, never the last
	// (C8). The calls come from one goroutine at a time, never after Watch has
	// returned. The function changed does not block, and owns the slice it is
	// given and the values in it.
	Watch(ctx context.Context, target Target, changed func([]Entry)) error

	// Grant opens a lease. The store may grant a longer TTL than asked for,
	// and says so in Lease.TTL; a TTL that it cannot grant is ErrInvalid. The
	// lease is valid for its TTL from the start of this call. A Grant that
	// failed may have left a lease behind, which holds no key and expires.
	Grant(ctx context.Context, ttl time.Duration) (Lease, error)

	// Generation returns the present generation (C12), and a channel that is
	// closed when it ends. It does no I/O.
	Generation() (number uint64, ended <-chan struct{})

	// Close releases the resources of the driver (C10). It does not end leases:
	// a lease that was not revoked expires, since code may still run under it.
	// A client that the user handed in stays open: it is the user's.
	//
	// The Store calls Close once. Before that it ends the contexts of all calls
	// and waits for them; no call begins after that. A call that did not return
	// in time may still be under way.
	Close(ctx context.Context) error
}

// Lease is a granted lease: the keys created under it live as long as it does.
type Lease interface {
	// ID names the lease in Txn.Lease and Entry.Lease. It is unique in the
	// store and is never used again.
	ID() string

	// TTL is what the store granted.
	TTL() time.Duration

	// Renew asks the store to keep the lease. On success the lease's keys stay
	// for validFor at least, counted from the start of this call (C6). A
	// delayed reply does not prolong it. validFor is at most the TTL.
	//
	// ErrSessionLost means that the lease is gone for good. ErrNotCounted means
	// that the store answered, and that its answer proves nothing. Any other
	// error means that the renewal may or may not have reached the store.
	Renew(ctx context.Context) (validFor time.Duration, err error)

	// Revoke ends the lease, and its keys with it. Revoking a lease that is
	// gone already is not an error.
	Revoke(ctx context.Context) error

	// Lost is closed when the store has told this client that the lease is
	// gone. That may happen late, or never: nothing but time ends trust for
	// certain.
	Lost() <-chan struct{}
}

// Timed is a Driver whose renewals are valid for less than the TTL. backend.New
// asks it whether the timing of a Store can work.
type Timed interface {
	// CheckTiming reports, as ErrInvalid, that a session of ttl cannot be kept
	// by a Store that takes margin off each renewal.
	CheckTiming(ttl, margin time.Duration) error
}

// Target is what a Read reads or a Watch watches: one key, or the direct
// children of a directory.
type Target struct {
	Path string
	Dir  bool
}

// Key targets a single key.
func Key(key string) Target { return Target{Path: key} }

// Dir targets the keys directly below dir: for "a", "a/b" but neither "a" nor
// "a/b/c".
func Dir(dir string) Target { return Target{Path: dir, Dir: true} }

// Entry is a key as it was read.
type Entry struct {
	Key   string
	Value []byte
	// Created and Modified are revisions of the store: etcd's revision,
	// Consul's index, ZooKeeper's zxid. They order the changes of keys. Do not
	// compare them with revisions of another store, or of the same store before
	// a restore (C5).
	Created, Modified uint64
	// Version is what conditions compare.
	Version Version
	// Lease is the ID of the lease that owns the key, empty if none does.
	Lease string
}

// Version identifies one state of one key, as far as the store can tell states
// apart (C12 says how far). The zero Version identifies no state.
type Version struct {
	// Generation counts the occasions on which the driver could no longer be
	// sure that the store's numbers continue from where they were. A driver
	// starts at 1.
	Generation uint64
	// Number is the store's own, and opaque.
	Number uint64
}

// IsZero reports whether v identifies no state.
func (v Version) IsZero() bool { return v == Version{} }

// Txn is one atomic commit: if every condition holds, every operation is
// applied. An operation implies a condition of its own (see Op). Each key
// appears at most once in the whole Txn; MaxOps, MaxValueBytes and
// MaxTxnBytes bound it.
type Txn struct {
	// Unchanged lists conditions: the key is there, at this Version.
	Unchanged []Condition
	Ops       []Op
	// Lease is the ID of the lease that owns what the Txn creates with
	// Ephemeral. It must be set exactly when there is such an operation, and
	// be of a lease that the same driver granted.
	Lease string
}

// Condition requires that Key is there and has this Version.
type Condition struct {
	Key     string
	Version Version
}

// OpKind says what an Op does.
type OpKind int

// The kinds of Op.
const (
	// OpCreate creates a key, on condition that it is absent.
	OpCreate OpKind = iota + 1
	// OpPut replaces the value of a key, on condition that it is there, at
	// Version. The key keeps its owner, if it has one (C13).
	OpPut
	// OpDelete deletes a key, on condition that it is there, at Version. Alone
	// in its Txn, and only there, it may have the zero Version: it then deletes
	// the key whatever its state, and is content to find none.
	OpDelete
)

// Op is one operation of a Txn. Use Create, CreateEphemeral, Put and Delete.
type Op struct {
	Kind      OpKind
	Key       string
	Value     []byte
	Ephemeral bool
	Version   Version
}

// Create creates a persistent key.
func Create(key string, value []byte) Op {
	return Op{Kind: OpCreate, Key: key, Value: value}
}

// CreateEphemeral creates a key that goes with the lease of the Txn.
func CreateEphemeral(key string, value []byte) Op {
	return Op{Kind: OpCreate, Key: key, Value: value, Ephemeral: true}
}

// Put replaces the value that key has at version.
func Put(key string, value []byte, version Version) Op {
	return Op{Kind: OpPut, Key: key, Value: value, Version: version}
}

// Delete deletes key as it is at version.
func Delete(key string, version Version) Op {
	return Op{Kind: OpDelete, Key: key, Version: version}
}

// Result is the known outcome of a commit.
type Result struct {
	Applied bool
	// Versions holds, when the commit was applied, what Entry.Version of each
	// operation's key is after it, in the order of Txn.Ops; zero for a delete.
	Versions []Version
	// Current has, if the commit was not applied, the keys that the Txn names,
	// as they were read after the refusal. An absent key is not in it. It is
	// nil if that read failed: "not applied" holds even then (C3). By then the
	// conditions may hold again.
	Current map[string]Entry
}
