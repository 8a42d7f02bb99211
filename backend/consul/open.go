package consul

import (
	"github.com/hashicorp/consul/api"

	"github.com/quorate/quorate/backend"
)

// New returns a Store over client, which stays the caller's: closing the Store
// does not close its connections. It does no I/O, so the store need not be up.
// It is short for NewDriver with this adapter's defaults and backend.New. A
// nil client and options that make no sense are ErrInvalid.
func New(client *api.Client, options *backend.Options) (*backend.Store, error) {
	d, err := NewDriver(client, nil)
	if err != nil {
		return nil, err
	}
	return backend.New(d, options)
}
