package etcd

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"github.com/quorate/quorate/backend/driver"
)

// maxTTL bounds a lease: where lease checkpoints are on, a server writes down
// the rest of the TTL every five minutes, and a new leader starts from that.
const maxTTL = 300 * time.Second

// lease implements [driver.Lease].
type lease struct {
	driver *Driver
	id     int64
	ttl    time.Duration
	once   sync.Once
	lost   chan struct{}
}

// Grant asks for a lease of whole seconds, rounded up. A server raises a TTL
// below one and a half times its election timeout (2 s by default). A TTL that
// is not positive, or longer than 300 s, is ErrInvalid.
func (d *Driver) Grant(ctx context.Context, ttl time.Duration) (driver.Lease, error) {
	if ttl <= 0 || ttl > maxTTL {
		return nil, fmt.Errorf("%w: TTL of %v, it must be above zero and at most %v", driver.ErrInvalid, ttl, maxTTL)
	}
	ctx = requireLeader(ctx)
	seconds := int64((ttl + time.Second - 1) / time.Second)
	reply := &pb.LeaseGrantResponse{}
	if err := d.servers.propose(ctx, d.history.now().term, leaseGrantMethod, &pb.LeaseGrantRequest{TTL: seconds}, reply); err != nil {
		return nil, fmt.Errorf("etcd grant: %w", d.classify(ctx, err, asked))
	}
	if reply.GetError() != "" || reply.GetID() <= 0 {
		return nil, fmt.Errorf("etcd grant: %w: lease %d: %s", driver.ErrUnavailable, reply.GetID(), reply.GetError())
	}
	l := &lease{
		driver: d,
		id:     reply.GetID(),
		ttl:    time.Duration(reply.GetTTL()) * time.Second,
		lost:   make(chan struct{}),
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.leases[l.id] = l
	return l, nil
}

func (l *lease) ID() string            { return leaseName(l.id) }
func (l *lease) TTL() time.Duration    { return l.ttl }
func (l *lease) Lost() <-chan struct{} { return l.lost }

// Renew sends a keep-alive and then confirms, by a linearizable read begun
// after its reply, that no other leader had been elected by then. Each of the
// two asks a second and a third server in time when the first is silent.
//
// The confirmation is what makes the renewal count. A keep-alive does not go
// through raft: the leader notes it in memory. One that was paused and deposed
// meanwhile does so too, before it learns of its successor, and that one lets
// the lease expire. The reply's header holds the raft term of the server that
// answered, filled in before the renewal; when a later read is confirmed by a
// quorum in that same term, then the leader of the term, and no later one,
// took the renewal.
func (l *lease) Renew(ctx context.Context) (time.Duration, error) {
	if l.isLost() {
		return 0, fmt.Errorf("etcd renewal: %w: lease %s is gone", driver.ErrSessionLost, l.ID())
	}
	ctx = requireLeader(ctx)
	// A renewal that took longer is of little use.
	ctx, cancel := context.WithTimeout(ctx, l.ttl/3)
	defer cancel()
	reply, err := hedged(ctx, l.keepAlive)
	if err != nil {
		return 0, fmt.Errorf("etcd renewal: %w", l.driver.classify(ctx, err, asked))
	}
	term, err := hedged(ctx, l.driver.term)
	if err != nil {
		err = l.driver.classify(ctx, err, asked)
		if reply.GetTTL() <= 0 {
			err = fmt.Errorf("%w: lease not found, and not confirmed: %w", driver.ErrNotCounted, err)
		}
		return 0, fmt.Errorf("etcd renewal: %w", err)
	}
	if answered := reply.GetHeader().GetRaftTerm(); answered != term || term == 0 {
		return 0, fmt.Errorf("etcd renewal: %w: answered in raft term %d, the term is now %d", driver.ErrNotCounted, answered, term)
	}
	if reply.GetTTL() <= 0 {
		l.lose()
		return 0, fmt.Errorf("etcd renewal: %w: %w", driver.ErrSessionLost, rpctypes.ErrLeaseNotFound)
	}
	return time.Duration(reply.GetTTL()) * time.Second, nil
}

// keepAlive sends one keep-alive and waits for its reply. The method is a
// stream, but one message each way is the same on the wire as a unary call. A
// unary call takes no reply for another's, and goes to any server. Above all
// the client authenticates for each stream that it opens, and for none of these.
func (l *lease) keepAlive(ctx context.Context) (*pb.LeaseKeepAliveResponse, error) {
	reply := &pb.LeaseKeepAliveResponse{}
	return reply, l.driver.servers.ask(ctx, keepAliveMethod, &pb.LeaseKeepAliveRequest{ID: l.id}, reply)
}

// term returns the raft term in which a quorum confirmed, after the call, that
// its leader leads. Asking for the members takes no permission on any key.
func (d *Driver) term(ctx context.Context) (uint64, error) {
	reply := &pb.MemberListResponse{}
	err := d.servers.ask(ctx, memberListMethod, &pb.MemberListRequest{Linearizable: true}, reply)
	return reply.GetHeader().GetRaftTerm(), err
}

// Revoke ends the lease. It asks a second and a third server in time, too.
// Whether or not that succeeds, the driver does not keep the lease any longer.
func (l *lease) Revoke(ctx context.Context) error {
	l.driver.forgetLease(l.id)
	ctx = requireLeader(ctx)
	_, err := hedged(ctx, func(ctx context.Context) (*pb.LeaseRevokeResponse, error) {
		reply := &pb.LeaseRevokeResponse{}
		return reply, l.driver.servers.ask(ctx, leaseRevokeMethod, &pb.LeaseRevokeRequest{ID: l.id}, reply)
	})
	if err != nil {
		err = l.driver.classify(ctx, err, asked)
		if !errors.Is(err, driver.ErrSessionLost) {
			return fmt.Errorf("etcd revoke: %w", err)
		}
	}
	l.lose()
	return nil
}

// lose notes that the store said that the lease is gone.
func (l *lease) lose() {
	l.once.Do(func() { close(l.lost) })
	l.driver.forgetLease(l.id)
}

func (d *Driver) forgetLease(id int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.leases, id)
}

func (l *lease) isLost() bool {
	select {
	case <-l.lost:
		return true
	default:
		return false
	}
}

// known returns the lease with this id, if this driver granted it and does not
// know that it is gone.
func (d *Driver) known(id int64) *lease {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.leases[id]
}

// loseOn notes the loss of a lease that a commit named.
func (d *Driver) loseOn(id int64, err error) {
	if l := d.known(id); l != nil && errors.Is(err, driver.ErrSessionLost) {
		l.lose()
	}
}
