// Package open opens a Store that a URL names, so that a deployment chooses the
// store and the program does not.
//
//	store, err := open.Store(os.Getenv("QUORATE_STORE"), nil)
//	if err != nil {
//		return err
//	}
//	defer store.Close() // closes its client too
//
// This package imports the adapters of all stores. It is a module of its own, so
// that programs which use one adapter do not get the clients of the others.
//
// # URLs
//
//	etcd://[user:password@]host:port[,host:port...][?parameters]
//	consul://[:token@]host:port[?parameters]
//	zookeeper://[user:password@]host:port[,host:port...][?parameters]
//	postgres://[user[:password]@]host:port[,host:port...]/database[?parameters]
//	memory://
//
// The port may be left out: it is 2379, 8500, 2181 or 5432 then. User, password
// and token are escaped as in every URL, "%40" for an at sign. The store of
// memory:// lies in this process, and each call makes a new one.
//
//	parameter      store             meaning
//	namespace      all               backend.Options.Namespace
//	ttl            all               backend.Options.TTL, such as 15s
//	tls            all but postgres  true: use TLS. The files below imply it
//	ca             all but postgres  file with the certificates of the authorities
//	cert, key      all but postgres  files with the client's certificate and key
//	server_name    all but postgres  the name that the server's certificate is for
//	tick           zookeeper         the servers' tickTime (default 2s)
//	node           consul            the node that sessions belong to
//	schema         postgres          the schema of the tables (default quorate)
//	poll           postgres          read at this interval instead of LISTEN
//
// A parameter of the URL takes precedence over the field of backend.Options.
// PostgreSQL's URL takes all parameters of pgx besides, such as sslmode. The
// environment of the store's client counts where the URL says nothing:
// CONSUL_HTTP_TOKEN, PGPASSWORD and so on.
//
// # Secrets
//
// No error of this package contains a password, a token or the URL. A [Target]
// prints without them. A URL with a password on a command line is visible to all
// users of the machine: take it from the environment or from a file, or call
// [Target.WithPassword].
//
// # Failures
//
// A malformed URL is [backend.ErrInvalid], and the message names the part. Opening
// does no I/O at the store, so the store need not be up. It reads the files that
// the URL names.
package open
