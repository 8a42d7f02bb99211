package memory

import "github.com/quorate/quorate/backend"

// New returns a Store over a store of its own in this process: for tests, and
// for a service that runs as a single process. Nil options are good. To give
// several Stores the same store, as several processes would have it, make one
// [NewServer] and call [Open] for each.
func New(options *backend.Options) (*backend.Store, error) {
	return Open(NewServer(), options)
}

// Open returns a Store over server, as one process would have it.
func Open(server *Server, options *backend.Options) (*backend.Store, error) {
	return backend.New(NewDriver(server), options)
}
