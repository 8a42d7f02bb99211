package open

import (
	"flag"
	"fmt"
	"strings"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/memory"
)

const postgresScheme = "postgres"

// scheme is what a kind of store needs.
type scheme struct {
	port   string   // its default; empty if URLs have no host
	params []string // beside those of all stores
	minTTL time.Duration
	// open returns the driver, and how to close its client after it.
	open func(*Target) (d driver.Driver, closeClient func(), err error)
}

// tlsParams are the parameters of every store whose client takes a tls.Config.
var tlsParams = []string{"tls", "ca", "cert", "key", "server_name"}

// schemes has one for each scheme of a URL. It is set in init, because their
// functions read it.
var schemes map[string]scheme

func init() {
	schemes = map[string]scheme{
		"etcd":         {port: "2379", params: tlsParams, minTTL: 2 * time.Second, open: etcdDriver},
		"consul":       {port: "8500", params: append([]string{"node"}, tlsParams...), minTTL: 10 * time.Second, open: consulDriver},
		"zookeeper":    {port: "2181", params: append([]string{"tick"}, tlsParams...), minTTL: 4 * time.Second, open: zookeeperDriver},
		postgresScheme: {port: "5432", minTTL: 2 * time.Second, open: postgresDriver},
		"memory":       {minTTL: backend.MinTTL, open: memoryDriver},
	}
}

// Store opens the Store that a URL names. It is short for [Parse] and
// [Target.Open].
func Store(rawURL string, options *backend.Options) (*backend.Store, error) {
	t, err := Parse(rawURL)
	if err != nil {
		return nil, err
	}
	return t.Open(options)
}

// Open opens a Store. It does no I/O at the store, which need not be up. The
// Store's Close also closes the client. Nil options are good, and those of the
// URL take precedence. Errors: [backend.ErrInvalid].
func (t *Target) Open(options *backend.Options) (*backend.Store, error) {
	var opts backend.Options
	if options != nil {
		opts = *options
	}
	if v := t.params.Get("namespace"); v != "" {
		opts.Namespace = v
	}
	if ttl, _ := t.duration("ttl"); ttl != 0 { // Parse has checked it
		opts.TTL = ttl
	}
	d, closeClient, err := schemes[t.scheme].open(t)
	if err != nil {
		return nil, err
	}
	store, err := backend.New(withClient(d, closeClient), &opts)
	if err != nil {
		closeClient()
		return nil, fmt.Errorf("open: %w", err)
	}
	return store, nil
}

// Flags defines the flags -store and -ttl, and returns a function that opens the
// Store once they are parsed. Without -store it is one in this process. Give the
// URL on the command line only if it has no password.
func Flags(flags *flag.FlagSet, options *backend.Options) func() (*backend.Store, error) {
	rawURL := flags.String("store", "memory://", "the store that processes share, `etcd://host:port` for example ("+strings.Join(Schemes(), ", ")+")")
	ttl := flags.Duration("ttl", backend.DefaultTTL, "how long the others wait for this process when it is not heard of")
	return func() (*backend.Store, error) {
		var opts backend.Options
		if options != nil {
			opts = *options
		}
		opts.TTL = *ttl
		return Store(*rawURL, &opts)
	}
}

func memoryDriver(*Target) (driver.Driver, func(), error) {
	return memory.NewDriver(memory.NewServer()), func() {}, nil
}
