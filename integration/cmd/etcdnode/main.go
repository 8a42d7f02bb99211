// Command etcdnode is one etcd server for the tests: the real one, with the
// settings it has in production, in a process of its own so that it can be
// killed and paused.
//
//	etcdnode serve CONFIG            runs a server until SIGTERM or SIGINT
//	etcdnode restore CONFIG SNAPSHOT BUMP
//
// CONFIG is a configuration file as the etcd command takes it. Restore makes
// the data directory that CONFIG names from a snapshot; with BUMP above zero
// revisions go on that many above the snapshot's, and watches learn that
// history is gone, as etcd advises; with zero they go back.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"go.etcd.io/etcd/etcdutl/v3/snapshot"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "etcdnode:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 2 && args[0] == "serve":
		return serve(args[1])
	case len(args) == 4 && args[0] == "restore":
		return restore(args[1], args[2], args[3])
	}
	return errors.New("usage: etcdnode serve CONFIG | etcdnode restore CONFIG SNAPSHOT BUMP")
}

func serve(file string) error {
	config, err := embed.ConfigFromFile(file)
	if err != nil {
		return fmt.Errorf("reading %s: %w", file, err)
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	etcd, err := embed.StartEtcd(config)
	if err != nil {
		return fmt.Errorf("starting: %w", err)
	}
	defer etcd.Close()
	select {
	case <-stop:
		return nil
	case err := <-etcd.Err():
		return fmt.Errorf("serving: %w", err)
	case <-etcd.Server.StopNotify():
		return errors.New("the server stopped by itself")
	}
}

func restore(file, from, bump string) error {
	config, err := embed.ConfigFromFile(file)
	if err != nil {
		return fmt.Errorf("reading %s: %w", file, err)
	}
	by, err := strconv.ParseUint(bump, 10, 32)
	if err != nil {
		return fmt.Errorf("revision bump %q: %w", bump, err)
	}
	var peers []string
	for _, url := range config.AdvertisePeerUrls {
		peers = append(peers, url.String())
	}
	err = snapshot.NewV3(zap.NewNop()).Restore(snapshot.RestoreConfig{
		SnapshotPath:        from,
		Name:                config.Name,
		OutputDataDir:       config.Dir,
		PeerURLs:            peers,
		InitialCluster:      config.InitialCluster,
		InitialClusterToken: config.InitialClusterToken,
		RevisionBump:        by,
		MarkCompacted:       by > 0,
	})
	if err != nil {
		return fmt.Errorf("restoring %s to %s: %w", from, strings.Join(peers, ","), err)
	}
	return nil
}
