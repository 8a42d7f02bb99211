package zookeeper

import "github.com/quorate/quorate/backend"

// Open returns a Store over the ensemble whose servers are given as host:port,
// 2181 where the port is left out. It owns its connections, and does no I/O, so
// no server need be up. It is short for NewDriver with this adapter's defaults
// and backend.New. No server, one that is malformed, and options that make no
// sense are ErrInvalid.
func Open(servers []string, options *backend.Options) (*backend.Store, error) {
	d, err := NewDriver(servers, nil)
	if err != nil {
		return nil, err
	}
	return backend.New(d, options)
}
