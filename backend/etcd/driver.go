package etcd

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"

	"github.com/quorate/quorate/backend/driver"
)

// callOptions are those of every call. A call waits for a connection until its
// context ends, rather than fail while there is none; what a call gives back
// may be of any size, since what it asks for is bounded.
var callOptions = []grpc.CallOption{
	grpc.WaitForReady(true),
	grpc.MaxCallRecvMsgSize(math.MaxInt32),
	grpc.MaxCallSendMsgSize(math.MaxInt32),
}

// single returns a context and the options for one unary call that is not to be
// made again by the client. Its retry interceptor rightly does not repeat a
// write that failed with Unavailable, but it repeats every call, a transaction
// too, that was answered with Canceled or DeadlineExceeded while its context
// lives: an answer that a server gives to a request which it may have proposed.
// A repeated transaction that had been applied is refused by its own
// conditions. So the context ends with the first such answer. What the client
// does repeat is what was refused for an expired token.
func single(ctx context.Context, more ...grpc.CallOption) (context.Context, []grpc.CallOption, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	answered := grpc.OnFinish(func(err error) {
		if code := status.Code(err); code == codes.Canceled || code == codes.DeadlineExceeded {
			cancel()
		}
	})
	return ctx, append(append(more, answered), callOptions...), cancel
}

// requireLeader returns a context whose calls a server refuses while it knows of
// no leader, which is sooner and clearer than to time out there.
func requireLeader(ctx context.Context) context.Context { return clientv3.WithRequireLeader(ctx) }

// Driver implements [driver.Driver] over an etcd client.
type Driver struct {
	conn    *grpc.ClientConn
	kv      pb.KVClient
	lease   pb.LeaseClient
	cluster pb.ClusterClient

	history history
	watches watchHub

	// life ends, with the cause ErrClosed, when Close begins. A server that
	// knows of no leader is to refuse what is asked with it.
	life context.Context
	end  context.CancelCauseFunc

	running driver.Running // the watch streams

	mu     sync.Mutex // guards nudged and leases
	nudged time.Time
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
	conn := client.ActiveConnection()
	if conn == nil {
		return nil, fmt.Errorf("%w: the etcd client has no connection", driver.ErrInvalid)
	}
	d := &Driver{
		conn:    conn,
		kv:      pb.NewKVClient(conn),
		lease:   pb.NewLeaseClient(conn),
		cluster: pb.NewClusterClient(conn),
		leases:  make(map[int64]*lease),
	}
	d.life, d.end = context.WithCancelCause(requireLeader(context.Background()))
	d.watches.init(d)
	return d, nil
}

// Generation implements driver.Driver.
func (d *Driver) Generation() (uint64, <-chan struct{}) { return d.history.generation.Present() }

// Close ends the watch streams and waits for them. Leases are left to expire.
func (d *Driver) Close(ctx context.Context) error {
	d.end(driver.ErrClosed)
	if err := d.running.Close(ctx); err != nil {
		return fmt.Errorf("etcd driver: %w", err)
	}
	return nil
}

// nudgeEvery is how often a client without a connection is told to try again.
const nudgeEvery = time.Second

// nudge is called when a call failed. While no server can be reached the client
// pauses between its attempts to connect, for up to two minutes in the end;
// whoever still calls wants to know sooner.
func (d *Driver) nudge() {
	if state := d.conn.GetState(); state != connectivity.TransientFailure && state != connectivity.Connecting {
		return
	}
	d.mu.Lock()
	now := time.Now()
	due := d.life.Err() == nil && now.Sub(d.nudged) >= nudgeEvery
	if due {
		d.nudged = now
	}
	d.mu.Unlock()
	if due {
		d.conn.ResetConnectBackoff()
	}
}
