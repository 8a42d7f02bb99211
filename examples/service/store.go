package main

import (
	"fmt"
	"strings"

	"github.com/hashicorp/consul/api"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/consul"
	"github.com/quorate/quorate/backend/etcd"
	"github.com/quorate/quorate/backend/zookeeper"
)

// openStore opens the Store at a URL like etcd://host:port,host:port. It does no
// I/O. The clients live as long as the process.
func openStore(url string, options *backend.Options) (*backend.Store, error) {
	scheme, rest, _ := strings.Cut(url, "://")
	hosts := strings.Split(rest, ",")
	if rest == "" {
		return nil, fmt.Errorf("store %q: it has no host", url)
	}
	switch scheme {
	case "etcd":
		client, err := clientv3.New(clientv3.Config{Endpoints: hosts, Logger: zap.NewNop()})
		if err != nil {
			return nil, err
		}
		return etcd.New(client, options)
	case "consul":
		client, err := api.NewClient(&api.Config{Address: hosts[0]})
		if err != nil {
			return nil, err
		}
		return consul.New(client, options)
	case "zookeeper":
		return zookeeper.Open(hosts, options)
	default:
		return nil, fmt.Errorf("store %q: want etcd://, consul:// or zookeeper://", url)
	}
}
