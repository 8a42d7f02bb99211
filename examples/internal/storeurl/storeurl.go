// Package storeurl opens the stores of the examples, which are named by URLs.
package storeurl

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/consul"
	"github.com/quorate/quorate/backend/etcd"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/backend/postgres"
	"github.com/quorate/quorate/backend/zookeeper"
)

// Target is a store that a URL names.
type Target struct {
	// MinTTL is the shortest that the servers grant as they come.
	MinTTL time.Duration

	hosts []string
	open  func(hosts []string, options *backend.Options) (store *backend.Store, closeClient func(), err error)
}

// targets has one for each scheme of a URL.
var targets = map[string]Target{
	"etcd":      {MinTTL: 2 * time.Second, open: openEtcd},
	"consul":    {MinTTL: 10 * time.Second, open: openConsul},
	"zookeeper": {MinTTL: 4 * time.Second, open: openZooKeeper},
	"postgres":  {MinTTL: 2 * time.Second, open: openPostgres},
}

// Schemes returns what a URL may begin with.
func Schemes() string {
	var names []string
	for name := range targets {
		names = append(names, name+"://")
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// Parse takes apart a URL like etcd://host:port,host:port. One of PostgreSQL has
// a role, a database and settings besides, as its clients take them.
func Parse(url string) (Target, error) {
	scheme, hosts, _ := strings.Cut(url, "://")
	t, known := targets[scheme]
	if !known || hosts == "" {
		return Target{}, fmt.Errorf("store %q: want one of %s with host:port", url, Schemes())
	}
	t.hosts = strings.Split(hosts, ",")
	return t, nil
}

// Open opens a Store. The client is the caller's to close, after the Store.
func (t Target) Open(options *backend.Options) (store *backend.Store, closeClient func(), err error) {
	return t.open(t.hosts, options)
}

// Flags defines the flags -store and -ttl, and returns what opens the store
// that they name once they are parsed: one in this process by default. The
// client lives as long as the process.
func Flags(namespace string) func() (*backend.Store, error) {
	url := flag.String("store", "", "the store that processes share, `etcd://host:port[,host:port]` for example ("+Schemes()+"); without it one in this process")
	ttl := flag.Duration("ttl", backend.DefaultTTL, "how long the others wait for this process when it is not heard of")
	return func() (*backend.Store, error) {
		options := &backend.Options{
			Namespace: namespace, TTL: *ttl,
			Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
		}
		if *url == "" {
			return memory.New(options)
		}
		t, err := Parse(*url)
		if err != nil {
			return nil, err
		}
		store, _, err := t.Open(options)
		return store, err
	}
}

func openEtcd(hosts []string, options *backend.Options) (*backend.Store, func(), error) {
	client, err := clientv3.New(clientv3.Config{Endpoints: hosts, Logger: zap.NewNop()})
	if err != nil {
		return nil, nil, err
	}
	store, err := etcd.New(client, options)
	return store, func() { _ = client.Close() }, err
}

func openConsul(hosts []string, options *backend.Options) (*backend.Store, func(), error) {
	client, err := api.NewClient(&api.Config{Address: hosts[0]})
	if err != nil {
		return nil, nil, err
	}
	store, err := consul.New(client, options)
	return store, func() {}, err
}

func openZooKeeper(hosts []string, options *backend.Options) (*backend.Store, func(), error) {
	store, err := zookeeper.Open(hosts, options)
	return store, func() {}, err
}

// schemaTimeout bounds the making of the schema.
const schemaTimeout = 10 * time.Second

// openPostgres makes the schema if it is not there and the role may. A service
// leaves that to its deployment.
func openPostgres(hosts []string, options *backend.Options) (*backend.Store, func(), error) {
	config, err := pgxpool.ParseConfig("postgres://" + strings.Join(hosts, ","))
	if err != nil {
		return nil, nil, err
	}
	config.ConnConfig.ConnectTimeout = 2 * time.Second
	config.ConnConfig.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsPrimary
	ctx, cancel := context.WithTimeout(context.Background(), schemaTimeout)
	defer cancel()
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, nil, err
	}
	if err := postgres.Migrate(ctx, pool, nil); err != nil && !errors.Is(err, backend.ErrDenied) {
		pool.Close()
		return nil, nil, err
	}
	store, err := postgres.New(pool, options)
	return store, pool.Close, err
}
