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

// Options are the adapter's own options. Nil means the defaults, as does the
// zero value of each field.
type Options struct {
	// Tick is the servers' tickTime (default 2 s). Use twice the tickTime if
	// clients talk to observers behind an ObserverMaster. A follower reports
	// the sessions that it heard from with every answer to a ping, twice a
	// tick. So what it heard within the last tick may be lost with it. With a
	// value that is too small, the trust in a session may outlive the session
	// when a follower dies. With one that is too large, renewals are more
	// frequent. A session's timeout must be at least two ticks.
	Tick time.Duration

	// TLS, if set, secures every connection. If it has no ServerName, the
	// certificate must be for the host of the address.
	TLS *tls.Config

	// Dial, if set, opens the connections that TLS and the protocol use; by
	// default a net.Dialer does.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// Auth are the identities of each connection, in the order of their use.
	Auth []Auth

	// ACL is the ACL of every node that the Store creates. By default the
	// identities in Auth may do everything and nobody else may do anything.
	// Without Auth everybody may do everything.
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
