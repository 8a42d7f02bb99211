package restart

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"

	"github.com/quorate/quorate/backend"
)

// Check is a question that Await asks until it succeeds, and Health asks at
// each probe. Func returns nil if all is well. It must return when its context
// ends, and may be called concurrently.
type Check struct {
	Name string
	Func func(context.Context) error
}

func (c Check) valid() error {
	if c.Name == "" || c.Func == nil {
		return fmt.Errorf("%w: a Check needs a Name and a Func: %q", backend.ErrInvalid, c.Name)
	}
	return nil
}

// ask calls the check; a panic is an error.
func (c Check) ask(ctx context.Context) error { return catch(func() error { return c.Func(ctx) }) }

// TCP asks whether something accepts connections at an address, host:port.
func TCP(addr string) Check {
	return Check{Name: "tcp " + addr, Func: func(ctx context.Context) error {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			return Permanent(fmt.Errorf("%w: %w", backend.ErrInvalid, err))
		}
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err != nil {
			return err
		}
		return conn.Close()
	}}
}

// HTTP asks whether a GET of an absolute URL is answered with a status of
// success, 2xx, redirections followed. It makes a connection of its own each
// time.
func HTTP(address string) Check {
	client := &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}}
	return Check{Name: "http " + address, Func: func(ctx context.Context) error {
		if u, err := url.Parse(address); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return Permanent(fmt.Errorf("%w: %q is not an absolute URL of http or https", backend.ErrInvalid, address))
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
		if err != nil {
			return Permanent(fmt.Errorf("%w: %w", backend.ErrInvalid, err))
		}
		reply, err := client.Do(req)
		if err != nil {
			return err
		}
		defer func() { _ = reply.Body.Close() }()
		if _, err := io.CopyN(io.Discard, reply.Body, 64<<10); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if reply.StatusCode < 200 || reply.StatusCode > 299 {
			return fmt.Errorf("it answered %s", reply.Status)
		}
		return nil
	}}
}

// Store asks whether the store answers a linearizable read, so whether it has
// a quorum and lets this process in. It fails for good once the Store is
// closed.
func Store(store *backend.Store) Check {
	if store == nil {
		return Check{}
	}
	return Check{Name: "store of " + store.Namespace(), Func: func(ctx context.Context) error {
		_, err := store.Read(ctx, backend.Key("awaited"))
		if isClosed(err) {
			return Permanent(err)
		}
		return err
	}}
}
