package counting

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strconv"
	"testing"

	"github.com/hashicorp/consul/api"
)

func plainConsul(t testing.TB, addrs []string, key string) (func(context.Context) error, func(context.Context) (int64, error)) {
	kv := consulClient(t, addrs).KV()
	read := func(ctx context.Context) (value int64, index uint64, err error) {
		pair, _, err := kv.Get(key, (&api.QueryOptions{RequireConsistent: true}).WithContext(ctx))
		if err != nil || pair == nil {
			return 0, 0, err
		}
		value, err = strconv.ParseInt(string(pair.Value), 10, 64)
		return value, pair.ModifyIndex, err
	}
	once := func(ctx context.Context) error {
		value, index, err := read(ctx)
		if err != nil {
			return err
		}
		pair := &api.KVPair{Key: key, Value: []byte(strconv.FormatInt(value+1, 10)), ModifyIndex: index}
		ok, _, err := kv.CAS(pair, (&api.WriteOptions{}).WithContext(ctx))
		if err == nil && !ok {
			err = errRefused
		}
		return err
	}
	return once, func(ctx context.Context) (int64, error) {
		value, _, err := read(ctx)
		return value, err
	}
}

// consulClient talks to one agent, as Consul's clients do.
func consulClient(t testing.TB, addrs []string) *api.Client {
	t.Helper()
	transport := http.DefaultTransport.(*http.Transport).Clone()
	client, err := api.NewClient(&api.Config{Address: addrs[rand.IntN(len(addrs))], Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(transport.CloseIdleConnections)
	return client
}
