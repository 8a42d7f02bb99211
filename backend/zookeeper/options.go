package zookeeper

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/quorate/quorate/backend/driver"
)

// DefaultTick is ZooKeeper's own default of tickTime.
const DefaultTick = 2 * time.Second

// Options are the adapter's own options; nil stands for the defaults, as does
// the zero value of each field.
type Options struct {
	// Tick is the servers' tickTime, 2 s by default; twice that where clients
	// talk to observers behind an ObserverMaster. A follower tells the leader
	// which sessions it has heard of with every answer to a ping, and there
	// are two of these a tick, so what it has heard within the last tick may
	// be lost with it. A value below the truth makes the trust in a session
	// outlive it when a follower dies; one above costs renewals. A session's
	// timeout must be at least two ticks.
	Tick time.Duration

	// TLS, if set, is what every connection is made with. Where it names no
	// server, the certificate must be for the host connected to.
	TLS *tls.Config

	// Dial, if set, makes the connections that TLS and the protocol then run
	// over; by default a net.Dialer does.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// Auth is what each connection identifies itself with, in order.
	Auth []Auth

	// ACL is given to every node that is created. By default whoever Auth
	// identifies may do everything and nobody else anything; without Auth
	// everybody may do everything.
	ACL []zk.ACL
}

// Auth is one identity of a client.
type Auth struct {
	// Scheme is "digest", or another that the servers know.
	Scheme string
	// Data is, for a digest, "user:password".
	Data []byte
}

func (o *Options) withDefaults() (Options, error) {
	var opts Options
	if o != nil {
		opts = *o
	}
	if opts.Tick == 0 {
		opts.Tick = DefaultTick
	}
	if opts.Tick < 0 {
		return opts, fmt.Errorf("%w: Options.Tick is negative", driver.ErrInvalid)
	}
	if opts.TLS != nil {
		opts.TLS = opts.TLS.Clone()
	}
	if opts.Dial == nil {
		opts.Dial = new(net.Dialer).DialContext
	}
	opts.Auth = slices.Clone(opts.Auth)
	for _, a := range opts.Auth {
		if a.Scheme == "" {
			return opts, fmt.Errorf("%w: Options.Auth without a scheme", driver.ErrInvalid)
		}
	}
	switch {
	case opts.ACL != nil && len(opts.ACL) == 0:
		return opts, fmt.Errorf("%w: Options.ACL is empty", driver.ErrInvalid)
	case opts.ACL != nil:
		opts.ACL = slices.Clone(opts.ACL)
	case len(opts.Auth) > 0:
		opts.ACL = zk.AuthACL(zk.PermAll)
	default:
		opts.ACL = zk.WorldACL(zk.PermAll)
	}
	return opts, nil
}
