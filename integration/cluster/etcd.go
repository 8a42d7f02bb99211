package cluster

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// EtcdConfig says what differs from a plain cluster of three; zero is good.
type EtcdConfig struct {
	// Nodes is how many servers there are; 0 means 3.
	Nodes int
	// HeartbeatInterval and ElectionTimeout of raft; 0 means etcd's defaults,
	// 100 ms and 1 s.
	HeartbeatInterval, ElectionTimeout time.Duration
	// Config is appended to every server's configuration file: YAML, in the
	// words of etcd --config-file.
	Config string
	// TLS, if set, lets every server listen for clients with TLS as well, at
	// Node.SecureAddr; Node.Addr stays open for the cluster's own questions.
	TLS *ServerTLS
	// Username and Password are what the cluster itself uses once a test has
	// switched authentication on; before, they do nothing. The user needs the
	// root role.
	Username, Password string
}

// The meaning of Node.ports.
const (
	etcdClient = iota
	etcdPeer
	etcdSecure
	etcdPorts
)

type etcdStore struct {
	config  EtcdConfig
	program string

	mu      sync.Mutex
	clients map[*Node]*clientv3.Client
}

// StartEtcd starts etcd servers and returns when they serve. They run with
// fsync, as in production. The program is built first, which takes about a
// minute when the build cache is cold.
func StartEtcd(config EtcdConfig) (*Cluster, error) {
	program, err := EtcdProgram()
	if err != nil {
		return nil, err
	}
	return newCluster(&etcdStore{config: config, program: program, clients: map[*Node]*clientv3.Client{}}, config.Nodes)
}

func (s *etcdStore) name() string { return "etcd" }

func (s *etcdStore) ports() int { return etcdPorts }

func (s *etcdStore) stopSignal() syscall.Signal { return syscall.SIGTERM }

func (s *etcdStore) securePort() int {
	if s.config.TLS == nil {
		return 0
	}
	return etcdSecure
}

func (s *etcdStore) command(n *Node) (*exec.Cmd, error) {
	file, err := s.configure(n)
	if err != nil {
		return nil, err
	}
	return exec.Command(s.program, "serve", file), nil
}

// configure writes the node's configuration file.
func (s *etcdStore) configure(n *Node) (string, error) {
	client, peer := "http://"+n.Addr(), "http://"+hostPort(n.ports[etcdPeer])
	var peers []string
	for _, other := range n.cluster.nodes {
		peers = append(peers, other.name+"=http://"+hostPort(other.ports[etcdPeer]))
	}
	state := "new"
	if n.joins {
		state = "existing"
	}
	lines := []string{
		"name: " + n.name,
		"data-dir: " + strconv.Quote(filepath.Join(n.DataDir(), "etcd")),
		"advertise-client-urls: " + client,
		"listen-peer-urls: " + peer,
		"initial-advertise-peer-urls: " + peer,
		"initial-cluster: " + strings.Join(peers, ","),
		"initial-cluster-token: " + filepath.Base(n.cluster.dir.path),
		"initial-cluster-state: " + state,
		"log-level: error",
	}
	listen := client
	if tls := s.config.TLS; tls != nil {
		listen += ",https://" + n.SecureAddr()
		lines = append(lines, "client-transport-security:",
			"  cert-file: "+strconv.Quote(tls.CertFile),
			"  key-file: "+strconv.Quote(tls.KeyFile))
		if tls.ClientCAFile != "" {
			lines = append(lines, "  trusted-ca-file: "+strconv.Quote(tls.ClientCAFile), "  client-cert-auth: true")
		}
	}
	lines = append(lines, "listen-client-urls: "+listen)
	if d := s.config.HeartbeatInterval; d > 0 {
		lines = append(lines, fmt.Sprintf("heartbeat-interval: %d", d.Milliseconds()))
	}
	if d := s.config.ElectionTimeout; d > 0 {
		lines = append(lines, fmt.Sprintf("election-timeout: %d", d.Milliseconds()))
	}
	lines = append(lines, s.config.Config, "")
	file := filepath.Join(n.dir, "etcd.yaml")
	if err := os.WriteFile(file, []byte(n.edited(strings.Join(lines, "\n"))), 0o600); err != nil {
		return "", fmt.Errorf("writing the configuration of %s: %w", n.name, err)
	}
	return file, nil
}

// client returns a client of this one node.
func (s *etcdStore) client(n *Node) (*clientv3.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if client := s.clients[n]; client != nil {
		return client, nil
	}
	client, err := clientv3.New(clientv3.Config{
		Endpoints: []string{n.Addr()},
		Username:  s.config.Username,
		Password:  s.config.Password,
		Logger:    zap.NewNop(),
	})
	if err != nil {
		return nil, fmt.Errorf("making a client of %s: %w", n.name, err)
	}
	s.clients[n] = client
	return client, nil
}

// ask asks for the member's status, and a linearizable read of it: only a
// member that reaches a quorum answers that.
func (s *etcdStore) ask(ctx context.Context, n *Node) (status, error) {
	client, err := s.client(n)
	if err != nil {
		return status{}, err
	}
	reply, err := client.Status(ctx, client.Endpoints()[0])
	if err != nil {
		return status{}, fmt.Errorf("asking %s for its status: %w", n.name, err)
	}
	if reply.Leader == 0 {
		return status{}, fmt.Errorf("%s knows no leader", n.name)
	}
	if _, err := client.MemberList(ctx); err != nil {
		return status{}, fmt.Errorf("asking %s for the members: %w", n.name, err)
	}
	self, leader := reply.Header.GetMemberId(), reply.Leader
	return status{self: fmt.Sprint(self), leader: fmt.Sprint(leader), leads: self == leader}, nil
}

func (s *etcdStore) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, client := range s.clients {
		client.Close()
	}
	return nil
}
