package etcd

import (
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/quorate/quorate/backend"
)

// New returns a Store over a client that the caller owns: it stays open when
// the Store closes, and must stay open until then. It does no I/O, so the
// cluster need not be up. Nil options are good; a nil client and options that
// make no sense are [backend.ErrInvalid].
func New(client *clientv3.Client, options *backend.Options) (*backend.Store, error) {
	d, err := NewDriver(client)
	if err != nil {
		return nil, err
	}
	return backend.New(d, options)
}
