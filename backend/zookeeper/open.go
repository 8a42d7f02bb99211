package zookeeper

import "github.com/quorate/quorate/backend"

// Open returns a Store over the ensemble of the given servers, each as host:port
// or as host (default port 2181). The Store owns its connections. Open does no
// I/O, so no server need be up. It is short for NewDriver with this adapter's
// defaults and backend.New.
//
// Open returns ErrInvalid if there is no server, if an address is malformed or
// has a chroot, or if an option is invalid.
func Open(servers []string, options *backend.Options) (*backend.Store, error) {
	d, err := NewDriver(servers, nil)
	if err != nil {
		return nil, err
	}
	return backend.New(d, options)
}
