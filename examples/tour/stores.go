package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/consul"
	"github.com/quorate/quorate/backend/etcd"
	"github.com/quorate/quorate/backend/zookeeper"
)

// opener opens a Store. The client is the caller's to close, after the Store.
type opener struct {
	ttl  time.Duration // the shortest that the servers grant as they come
	open func(hosts []string, options *backend.Options) (store *backend.Store, closeClient func(), err error)
}

// openers has one for each scheme of a URL.
var openers = map[string]opener{
	"etcd":      {2 * time.Second, openEtcd},
	"consul":    {10 * time.Second, openConsul},
	"zookeeper": {4 * time.Second, openZooKeeper},
}

func schemes() string {
	var names []string
	for name := range openers {
		names = append(names, name+"://")
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// parseStore takes apart a URL like etcd://host:port,host:port.
func parseStore(url string) (opener, []string, error) {
	scheme, hosts, _ := strings.Cut(url, "://")
	o, known := openers[scheme]
	if !known || hosts == "" {
		return opener{}, nil, fmt.Errorf("store %q: want one of %s with host:port", url, schemes())
	}
	return o, strings.Split(hosts, ","), nil
}

// openStore opens the Store at a URL.
func openStore(url string, options *backend.Options) (*backend.Store, func(), error) {
	o, hosts, err := parseStore(url)
	if err != nil {
		return nil, nil, err
	}
	return o.open(hosts, options)
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
