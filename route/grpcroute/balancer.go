package grpcroute

import (
	"context"
	"sync"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/balancer/base"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/status"

	"github.com/quorate/quorate/partition"
	"github.com/quorate/quorate/route"
)

const (
	scheme = "quorate"
	// policy is the name of the balancer.
	policy = "quorate_owner"
)

func init() {
	balancer.Register(base.NewBalancerBuilder(policy, pickers{}, base.Config{}))
}

// builder makes resolvers of the owners of one partition.
type builder struct{ router *partition.Router }

func (b builder) Scheme() string { return scheme }

func (b builder) Build(_ resolver.Target, cc resolver.ClientConn, _ resolver.BuildOptions) (resolver.Resolver, error) {
	ctx, end := context.WithCancel(context.Background())
	r := &follower{end: end}
	r.running.Go(func() { b.follow(ctx, cc) })
	return r, nil
}

// follow tells a connection each change of the plan or the members, though the
// addresses may be the same: calls that wait are then picked for anew.
func (b builder) follow(ctx context.Context, cc resolver.ClientConn) {
	config := cc.ParseServiceConfig(`{"loadBalancingConfig":[{"` + policy + `":{}}]}`)
	for {
		owners, changed := b.router.Owners()
		var addrs []resolver.Address
		known := make(map[string]bool)
		for i := range owners {
			if addr := owners[i].Addr; addr != "" && !known[addr] {
				known[addr] = true
				addrs = append(addrs, resolver.Address{Addr: addr})
			}
		}
		if len(addrs) > 0 { // without an owner the connections stay, for when it is back
			_ = cc.UpdateState(resolver.State{Addresses: addrs, ServiceConfig: config})
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// follower is a resolver.
type follower struct {
	end     context.CancelFunc
	running sync.WaitGroup
}

func (*follower) ResolveNow(resolver.ResolveNowOptions) {}

func (r *follower) Close() {
	r.end()
	r.running.Wait()
}

// pickers makes a picker of the connections that are ready.
type pickers struct{}

func (pickers) Build(info base.PickerBuildInfo) balancer.Picker {
	p := make(picker, len(info.ReadySCs))
	for sc, about := range info.ReadySCs {
		p[about.Address.Addr] = sc
	}
	return p
}

// picker is the connections that are ready, by address.
type picker map[string]balancer.SubConn

// Pick picks the connection to the owner of the call's key. Without one the call
// waits for the next picker.
func (p picker) Pick(info balancer.PickInfo) (balancer.PickResult, error) {
	c, ok := info.Ctx.Value(callKey{}).(*call)
	if !ok {
		return balancer.PickResult{}, status.Error(codes.Internal, "grpcroute: the call did not pass the interceptors of NewClient")
	}
	owner, known := c.router.Owner(c.key)
	sc := p[owner.Member.Addr]
	if !known || sc == nil {
		return balancer.PickResult{}, balancer.ErrNoSubConnAvailable
	}
	c.sentTo.Store(&owner)
	return balancer.PickResult{SubConn: sc, Metadata: metadata.Pairs(SlotKey, route.TicketFor(c.router, owner).String())}, nil
}
