package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/consul/api"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/consul"
	"github.com/quorate/quorate/backend/etcd"
)

// openers open a Store, by the scheme of its URL. The client is the caller's
// to close, after the Store.
var openers = map[string]func(hosts []string, options *backend.Options) (store *backend.Store, closeClient func(), err error){
	"etcd":   openEtcd,
	"consul": openConsul,
}

func schemes() string {
	var names []string
	for name := range openers {
		names = append(names, name+"://")
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// openStore opens the Store at a URL like etcd://host:port,host:port.
func openStore(url string, options *backend.Options) (*backend.Store, func(), error) {
	scheme, hosts, ok := strings.Cut(url, "://")
	open := openers[scheme]
	if !ok || open == nil || hosts == "" {
		return nil, nil, fmt.Errorf("store %q: want one of %s with host:port", url, schemes())
	}
	return open(strings.Split(hosts, ","), options)
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
