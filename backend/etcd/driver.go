package etcd

import (
	"context"
	"fmt"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/quorate/quorate/backend/driver"
)

// requireLeader returns a context whose calls a server refuses while it knows of
// no leader, which is sooner and clearer than to time out there.
func requireLeader(ctx context.Context) context.Context { return clientv3.WithRequireLeader(ctx) }

// Driver implements [driver.Driver] over an etcd client.
type Driver struct {
	client  *clientv3.Client
	servers *servers

	history history
	watches watchHub

	// life ends, with the cause ErrClosed, when Close begins. A server that
	// knows of no leader is to refuse what is asked with it.
	life context.Context
	end  context.CancelCauseFunc
	// forget lets the driver take no more note of the client's end.
	forget func() bool

	running driver.Running // the watch streams, and helpers of the servers

	mu     sync.Mutex // guards leases
	leases map[int64]*lease
}

var _ driver.Driver = (*Driver)(nil)

// NewDriver returns a driver over a client, which stays the caller's to close.
// It does no I/O. A nil client, or one without a connection of its own, is
// ErrInvalid. Most programs use [New].
func NewDriver(client *clientv3.Client) (*Driver, error) {
	if client == nil {
		return nil, fmt.Errorf("%w: the etcd client is nil", driver.ErrInvalid)
	}
	if client.ActiveConnection() == nil {
		return nil, fmt.Errorf("%w: the etcd client has no connection", driver.ErrInvalid)
	}
	d := &Driver{client: client, leases: make(map[int64]*lease)}
	d.life, d.end = context.WithCancelCause(requireLeader(context.Background()))
	d.servers = &servers{client: client, life: d.life, running: &d.running}
	d.forget = context.AfterFunc(client.Ctx(), func() {
		d.end(fmt.Errorf("%w: the etcd client was closed", driver.ErrClosed))
		d.servers.close()
	})
	d.watches.init(d)
	return d, nil
}

// Generation implements driver.Driver.
func (d *Driver) Generation() (uint64, <-chan struct{}) { return d.history.generation.Present() }

// Close ends the watch streams and waits for them. Leases are left to expire.
func (d *Driver) Close(ctx context.Context) error {
	d.forget()
	d.end(driver.ErrClosed)
	defer d.servers.close()
	if err := d.running.Close(ctx); err != nil {
		return fmt.Errorf("etcd driver: %w", err)
	}
	return nil
}
