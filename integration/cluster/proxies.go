package cluster

import (
	"context"
	"errors"
	"io"
	"time"
)

// Proxies is the network between one client and a cluster: a proxy for each
// server, in the order of Cluster.Nodes. Its methods do what the Proxy's of
// the same name do, to all, one after the other.
type Proxies struct {
	proxies []*Proxy
}

// NewProxies starts a proxy to Node.Addr of each server.
func NewProxies(c *Cluster) (*Proxies, error) { return NewProxiesTo(c.Addrs()...) }

// NewProxiesTo starts a proxy to each of the targets, host:port.
func NewProxiesTo(targets ...string) (*Proxies, error) {
	p := &Proxies{}
	for _, target := range targets {
		proxy, err := NewProxy(target)
		if err != nil {
			p.Close()
			return nil, err
		}
		p.proxies = append(p.proxies, proxy)
	}
	return p, nil
}

// Addrs is what the client connects to, as host:port.
func (p *Proxies) Addrs() []string {
	var addrs []string
	for _, proxy := range p.proxies {
		addrs = append(addrs, proxy.Addr())
	}
	return addrs
}

// Node returns the proxy to the server of that index.
func (p *Proxies) Node(i int) *Proxy { return p.proxies[i] }

// Stats is the sum over all.
func (p *Proxies) Stats() Stats {
	var sum Stats
	for _, proxy := range p.proxies {
		s := proxy.Stats()
		sum.Connections += s.Connections
		sum.Accepted += s.Accepted
		sum.RequestBytes += s.RequestBytes
		sum.ReplyBytes += s.ReplyBytes
		sum.HeldRequests += s.HeldRequests
		sum.HeldReplies += s.HeldReplies
		sum.DroppedRequests += s.DroppedRequests
		sum.DroppedReplies += s.DroppedReplies
	}
	return sum
}

// Await waits until the stats of at least one are such that is true of them.
func (p *Proxies) Await(ctx context.Context, is func(Stats) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan error, len(p.proxies))
	for _, proxy := range p.proxies {
		go func() { results <- proxy.Await(ctx, is) }()
	}
	var errs []error
	for range p.proxies {
		err := <-results
		if err == nil {
			cancel()
		}
		errs = append(errs, err)
	}
	for _, err := range errs {
		if err == nil {
			return nil
		}
	}
	return errors.Join(errs...)
}

func (p *Proxies) each(do func(*Proxy)) {
	for _, proxy := range p.proxies {
		do(proxy)
	}
}

// Close closes them all.
func (p *Proxies) Close() { p.each((*Proxy).Close) }

// Tap is Proxy.Tap on all.
func (p *Proxies) Tap(open func() io.Writer) { p.each(func(proxy *Proxy) { proxy.Tap(open) }) }

// Pass is Proxy.Pass on all.
func (p *Proxies) Pass() { p.each((*Proxy).Pass) }

// HealReset is Proxy.HealReset on all.
func (p *Proxies) HealReset() { p.each((*Proxy).HealReset) }

// Cut is Proxy.Cut on all.
func (p *Proxies) Cut() { p.each((*Proxy).Cut) }

// Silence is Proxy.Silence on all.
func (p *Proxies) Silence() { p.each((*Proxy).Silence) }

// Mute is Proxy.Mute on all.
func (p *Proxies) Mute() { p.each((*Proxy).Mute) }

// Deafen is Proxy.Deafen on all.
func (p *Proxies) Deafen() { p.each((*Proxy).Deafen) }

// HoldReplies is Proxy.HoldReplies on all.
func (p *Proxies) HoldReplies() { p.each((*Proxy).HoldReplies) }

// ReleaseReplies is Proxy.ReleaseReplies on all.
func (p *Proxies) ReleaseReplies() { p.each((*Proxy).ReleaseReplies) }

// FlushReplies is Proxy.FlushReplies on all.
func (p *Proxies) FlushReplies() { p.each((*Proxy).FlushReplies) }

// HoldRequests is Proxy.HoldRequests on all.
func (p *Proxies) HoldRequests() { p.each((*Proxy).HoldRequests) }

// ReleaseRequests is Proxy.ReleaseRequests on all.
func (p *Proxies) ReleaseRequests() { p.each((*Proxy).ReleaseRequests) }

// FlushRequests is Proxy.FlushRequests on all.
func (p *Proxies) FlushRequests() { p.each((*Proxy).FlushRequests) }

// ResetAll is Proxy.ResetAll on all.
func (p *Proxies) ResetAll() { p.each((*Proxy).ResetAll) }

// Delay is Proxy.Delay on all.
func (p *Proxies) Delay(d, jitter time.Duration) {
	p.each(func(proxy *Proxy) { proxy.Delay(d, jitter) })
}
