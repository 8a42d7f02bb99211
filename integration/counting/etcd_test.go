package counting

import (
	"context"
	"strconv"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

func plainEtcd(t testing.TB, addrs []string, key string) (func(context.Context) error, func(context.Context) (int64, error)) {
	client := etcdClient(t, addrs)
	read := func(ctx context.Context) (value, revision int64, err error) {
		reply, err := client.Get(ctx, key)
		if err != nil || len(reply.Kvs) == 0 {
			return 0, 0, err
		}
		value, err = strconv.ParseInt(string(reply.Kvs[0].Value), 10, 64)
		return value, reply.Kvs[0].ModRevision, err
	}
	once := func(ctx context.Context) error {
		value, revision, err := read(ctx)
		if err != nil {
			return err
		}
		reply, err := client.Txn(ctx).
			If(clientv3.Compare(clientv3.ModRevision(key), "=", revision)).
			Then(clientv3.OpPut(key, strconv.FormatInt(value+1, 10))).Commit()
		if err == nil && !reply.Succeeded {
			err = errRefused
		}
		return err
	}
	return once, func(ctx context.Context) (int64, error) {
		value, _, err := read(ctx)
		return value, err
	}
}

func etcdClient(t testing.TB, addrs []string) *clientv3.Client {
	t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: addrs, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}
