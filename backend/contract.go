package backend

import (
	"context"
	"time"

	"github.com/quorate/quorate/backend/driver"
)

// The words of the driver contract. With them a primitive imports this package
// alone.
type (
	// Entry is a key as it was read.
	Entry = driver.Entry
	// Version identifies one state of one key.
	Version = driver.Version
	// Target is what is read or watched: a key, or the children of a directory.
	Target = driver.Target
	// Txn is one atomic commit.
	Txn = driver.Txn
	// Condition requires that a key is there at a Version.
	Condition = driver.Condition
	// Op is one operation of a Txn.
	Op = driver.Op
	// Result is the known outcome of a commit.
	Result = driver.Result
)

// The kinds of Op.
const (
	OpCreate = driver.OpCreate
	OpPut    = driver.OpPut
	OpDelete = driver.OpDelete
)

// Limits of every store.
const (
	MaxValueBytes = driver.MaxValueBytes
	MaxTxnBytes   = driver.MaxTxnBytes
	MaxOps        = driver.MaxOps
)

// Sleep waits for d, or until ctx ends, and then returns its cause.
func Sleep(ctx context.Context, d time.Duration) error { return driver.Sleep(ctx, d) }

// JoinContexts returns a context that ends when either of two does, with the
// cause of that one. It has the values of a.
func JoinContexts(a, b context.Context) (context.Context, context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(a)
	stop := context.AfterFunc(b, func() { cancel(context.Cause(b)) })
	return ctx, func(cause error) {
		stop()
		cancel(cause)
	}
}

// Key targets a single key.
func Key(key string) Target { return driver.Key(key) }

// Dir targets the keys directly below dir.
func Dir(dir string) Target { return driver.Dir(dir) }

// Create creates a persistent key.
func Create(key string, value []byte) Op { return driver.Create(key, value) }

// CreateEphemeral creates a key that goes with the lease of the Txn.
func CreateEphemeral(key string, value []byte) Op { return driver.CreateEphemeral(key, value) }

// Put replaces the value that key has at version.
func Put(key string, value []byte, version Version) Op { return driver.Put(key, value, version) }

// Delete deletes key at version; see driver.Delete for the zero Version.
func Delete(key string, version Version) Op { return driver.Delete(key, version) }
