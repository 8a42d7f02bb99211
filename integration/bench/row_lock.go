package bench

import (
	"context"
	"math"
	"slices"

	"github.com/quorate/quorate/integration/harness"
	"github.com/quorate/quorate/lock"
)

// permits is how many a semaphore has.
const permits = 4

// subject is something that candidates take and give back, ours and the peer's.
type subject struct {
	ours                 func(store *harness.Opened, name string) (candidate, error)
	stock                func(p peer, name string, alone bool) (candidate, error)
	without              []string // the stores whose client has no recipe
	seats                int      // so many hold it at once
	most                 int      // candidates that wait
	freeToPeer           perStore
	handoverToPeer       perStore
	freeWhy, handoverWhy why
}

func (c subject) hasStock(store string) bool { return !slices.Contains(c.without, store) }

var (
	elections = subject{
		ours: newOurs, stock: peer.candidate, seats: 1, most: math.MaxInt,
		freeToPeer: freeToPeer, handoverToPeer: handoverToPeer, freeWhy: freeWhy, handoverWhy: handoverWhy,
	}
	mutexes = subject{
		ours: newMutex, stock: peer.mutex, seats: 1, most: 64,
		freeToPeer: freeToPeer, handoverToPeer: handoverToPeer, freeWhy: lockWhy, handoverWhy: handoverWhy,
	}
	semaphores = subject{
		ours: newPermit, stock: peer.permit, without: []string{"etcd", "zookeeper", "postgres"}, seats: permits, most: 64,
		freeToPeer: perStore{"consul": 1.3}, handoverToPeer: perStore{"consul": 0.9}, freeWhy: lockWhy,
	}
)

// lockWhy says what ours asks for before its commit, and the recipes do not.
var lockWhy = why{
	"etcd": "The stock recipe makes one commit, which also reads. Quorate makes a read and a commit: the commit depends on the last " +
		"token, so that the next one is higher.",
	"consul": freeWhy["consul"],
	"zookeeper": "Quorate's read is linearizable: a `sync` goes before it. The stock recipe creates a node and lists the directory at a " +
		"server that may lag.",
}

func freeMutex(ctx context.Context, l *lab) ([]line, error)  { return freeLock(ctx, l, mutexes) }
func freePermit(ctx context.Context, l *lab) ([]line, error) { return freeLock(ctx, l, semaphores) }

func freeLock(ctx context.Context, l *lab, c subject) ([]line, error) {
	taken, given, err := free(ctx, l, c)
	return []line{taken, given}, err
}

func mutexHandovers(ctx context.Context, l *lab) ([]line, error) { return handoversIn(ctx, l, mutexes) }

func permitHandovers(ctx context.Context, l *lab) ([]line, error) {
	return handoversIn(ctx, l, semaphores)
}

// ourLock is a mutex or a semaphore of Quorate's.
type ourLock struct {
	lock func(context.Context) (*lock.Held, error)
	held *lock.Held
}

func newMutex(store *harness.Opened, name string) (candidate, error) {
	m, err := lock.NewMutex(store.Store, name, nil)
	if err != nil {
		return nil, err
	}
	return &ourLock{lock: m.Lock}, nil
}

func newPermit(store *harness.Opened, name string) (candidate, error) {
	s, err := lock.NewSemaphore(store.Store, name, permits, nil)
	if err != nil {
		return nil, err
	}
	return &ourLock{lock: s.Acquire}, nil
}

func (c *ourLock) take(ctx context.Context) (err error) {
	c.held, err = c.lock(ctx)
	return err
}

func (c *ourLock) give(ctx context.Context) error { return c.held.Unlock(ctx) }
