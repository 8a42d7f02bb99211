package postgres

import (
	"context"
	"fmt"
	"regexp"
	"sync"
	"time"

	"github.com/quorate/quorate/backend/driver"
)

// maxTTL bounds a lease: the keys of a process that died stay as long.
const maxTTL = 24 * time.Hour

// leaseName is how PostgreSQL prints a UUID.
var leaseName = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// lease implements [driver.Lease].
type lease struct {
	driver *Driver
	id     string
	ttl    time.Duration
	once   sync.Once
	lost   chan struct{}
}

// Grant makes the row of a lease. The TTL is rounded up to milliseconds; one
// that is not positive, or longer than 24 h, is ErrInvalid.
func (d *Driver) Grant(ctx context.Context, ttl time.Duration) (driver.Lease, error) {
	if ttl <= 0 || ttl > maxTTL {
		return nil, fmt.Errorf("%w: TTL of %v, it must be above zero and at most %v", driver.ErrInvalid, ttl, maxTTL)
	}
	ttl = (ttl + time.Millisecond - 1).Truncate(time.Millisecond)
	rows, err := d.call(ctx, d.sql("acquire($1)"), numberParam(ttl.Milliseconds()))
	if err == nil && len(rows) != 1 {
		err = errEmptyAnswer
	}
	if err != nil {
		return nil, fmt.Errorf("postgres grant: %w", classify(ctx, err, false))
	}
	l := &lease{driver: d, id: rows[0].text(0), ttl: ttl, lost: make(chan struct{})}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.leases[l.id] = l
	return l, nil
}

func (l *lease) ID() string            { return l.id }
func (l *lease) TTL() time.Duration    { return l.ttl }
func (l *lease) Lost() <-chan struct{} { return l.lost }

// Renew prolongs the lease by its TTL from the server's present time. It counts
// when the server has answered that it committed: with a synchronous standby
// the standby has it too. A call that judges the lease meanwhile waits for the
// renewal's end, since both lock the lease's row.
func (l *lease) Renew(ctx context.Context) (time.Duration, error) {
	if l.isLost() {
		return 0, fmt.Errorf("postgres renewal: %w: lease %s is gone", driver.ErrSessionLost, l.id)
	}
	rows, err := l.driver.call(ctx, l.driver.sql("renew($1)"), leaseParam(l.id))
	if err == nil && len(rows) != 1 {
		err = errEmptyAnswer
	}
	if err != nil {
		return 0, fmt.Errorf("postgres renewal: %w", classify(ctx, err, false))
	}
	if !rows[0].truth(0) {
		l.driver.lose(l.id)
		return 0, fmt.Errorf("postgres renewal: %w: lease %s is gone", driver.ErrSessionLost, l.id)
	}
	return l.ttl, nil
}

// Revoke deletes the lease and its keys.
func (l *lease) Revoke(ctx context.Context) error {
	if _, err := l.driver.call(ctx, l.driver.sql("revoke($1)"), leaseParam(l.id)); err != nil {
		return fmt.Errorf("postgres revoke: %w", classify(ctx, err, false))
	}
	l.driver.lose(l.id)
	return nil
}

func (l *lease) isLost() bool {
	select {
	case <-l.lost:
		return true
	default:
		return false
	}
}

// known returns the lease of this name, if this driver granted it and does not
// know that it is gone.
func (d *Driver) known(id string) *lease {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.leases[id]
}

// lose notes that the store said that a lease is gone.
func (d *Driver) lose(id string) {
	d.mu.Lock()
	l := d.leases[id]
	delete(d.leases, id)
	d.mu.Unlock()
	if l != nil {
		l.once.Do(func() { close(l.lost) })
	}
}
