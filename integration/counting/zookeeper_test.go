package counting

import (
	"context"
	"errors"
	"path"
	"strconv"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
)

func plainZooKeeper(t testing.TB, addrs []string, key string) (func(context.Context) error, func(context.Context) (int64, error)) {
	conn := zooClient(t, addrs)
	key = "/" + path.Base(key)
	read := func() (value int64, version int32, err error) {
		data, stat, err := conn.Get(key)
		if errors.Is(err, zk.ErrNoNode) {
			return 0, -1, nil
		} else if err != nil {
			return 0, 0, err
		}
		value, err = strconv.ParseInt(string(data), 10, 64)
		return value, stat.Version, err
	}
	once := func(context.Context) error {
		value, version, err := read()
		if err != nil {
			return err
		}
		next := []byte(strconv.FormatInt(value+1, 10))
		if version < 0 {
			_, err = conn.Create(key, next, 0, zk.WorldACL(zk.PermAll))
		} else {
			_, err = conn.Set(key, next, version)
		}
		if errors.Is(err, zk.ErrBadVersion) || errors.Is(err, zk.ErrNodeExists) {
			err = errRefused
		}
		return err
	}
	return once, func(context.Context) (int64, error) {
		if _, err := conn.Sync(key); err != nil {
			return 0, err
		}
		value, _, err := read()
		return value, err
	}
}

type quietZoo struct{}

func (quietZoo) Printf(string, ...any) {}

func zooClient(t testing.TB, addrs []string) *zk.Conn {
	t.Helper()
	conn, events, err := zk.Connect(addrs, 4*time.Second, zk.WithLogger(quietZoo{}))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range events {
		}
	}()
	t.Cleanup(func() {
		conn.Close()
		<-done
	})
	return conn
}
