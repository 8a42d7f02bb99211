// Package etcdserver runs an etcd server inside a program, for the tour and for
// tests of the examples.
package etcdserver

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"

	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

// Server is an etcd server inside this program.
type Server struct {
	// URL is where it is, as package open takes it.
	URL string

	server *embed.Etcd
	dir    string
}

// Start starts a server and returns when it serves.
func Start(ctx context.Context) (*Server, error) {
	dir, err := os.MkdirTemp("", "quorate-etcd-")
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir}
	if err := s.start(ctx); err != nil {
		s.Close()
		return nil, fmt.Errorf("start etcd: %w", err)
	}
	return s, nil
}

func (s *Server) start(ctx context.Context) error {
	config := embed.NewConfig()
	config.Dir = s.dir
	config.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	client, err := freeURL()
	if err != nil {
		return err
	}
	peer, err := freeURL()
	if err != nil {
		return err
	}
	config.ListenClientUrls, config.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	config.ListenPeerUrls, config.AdvertisePeerUrls = []url.URL{peer}, []url.URL{peer}
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	if s.server, err = embed.StartEtcd(config); err != nil {
		return err
	}
	select {
	case <-s.server.Server.ReadyNotify():
		s.URL = "etcd://" + client.Host
		return nil
	case err := <-s.server.Err():
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Close stops the server and deletes its data.
func (s *Server) Close() {
	if s.server != nil {
		s.server.Close()
	}
	_ = os.RemoveAll(s.dir)
}

// freeURL returns the URL of a port on loopback that nobody listens at.
func freeURL() (url.URL, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return url.URL{}, err
	}
	defer l.Close()
	return url.URL{Scheme: "http", Host: l.Addr().String()}, nil
}
