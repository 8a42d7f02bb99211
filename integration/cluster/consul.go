package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ConsulConfig says what differs from a plain cluster of three; zero is good.
type ConsulConfig struct {
	// Nodes is how many servers there are; 0 means 3.
	Nodes int
	// SessionTTLMin is the shortest session TTL that the servers grant; 0
	// means 1 s, so that tests need not wait long. Consul's default is 10 s.
	SessionTTLMin time.Duration
	// RaftMultiplier scales raft's timeouts; 0 means 1, which Consul advises
	// for production. Its default is 5.
	RaftMultiplier int
	// Config is appended to every server's configuration file, in HCL: access
	// control, limits.
	Config string
	// TLS, if set, lets every server listen for HTTPS as well, at
	// Node.SecureAddr; Node.Addr stays open for the cluster's own questions.
	TLS *ServerTLS
	// Token is what the cluster itself sends, for snapshots and restores of
	// servers whose Config switches access control on.
	Token string
}

// The meaning of Node.ports.
const (
	consulHTTP = iota
	consulServer
	consulLAN
	consulWAN
	consulHTTPS
	consulPorts
)

// consulFile is the name of a server's configuration file.
const consulFile = "consul.hcl"

type consulStore struct {
	config  ConsulConfig
	program string
	client  *http.Client
}

// StartConsul starts Consul servers and returns when they serve. The program
// is the one that the environment variable QUORATE_CONSUL names, or the one in
// PATH, or one that is built first, which takes several minutes once.
func StartConsul(config ConsulConfig) (*Cluster, error) {
	program, err := ConsulProgram()
	if err != nil {
		return nil, err
	}
	if config.SessionTTLMin == 0 {
		config.SessionTTLMin = time.Second
	}
	if config.RaftMultiplier == 0 {
		config.RaftMultiplier = 1
	}
	// Connections of ours must not count against the servers' limits.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	return newCluster(&consulStore{config: config, program: program, client: client}, config.Nodes)
}

func (s *consulStore) name() string { return "consul" }

func (s *consulStore) ports() int { return consulPorts }

func (s *consulStore) stopSignal() syscall.Signal { return syscall.SIGTERM }

func (s *consulStore) securePort() int {
	if s.config.TLS == nil {
		return 0
	}
	return consulHTTPS
}

func (s *consulStore) command(n *Node) (*exec.Cmd, error) {
	file := filepath.Join(n.dir, consulFile)
	if err := os.WriteFile(file, []byte(n.edited(s.configuration())), 0o600); err != nil {
		return nil, fmt.Errorf("writing the configuration of %s: %w", n.name, err)
	}
	args := []string{"agent"}
	if n.index >= 0 {
		args = append(args, "-server", fmt.Sprintf("-bootstrap-expect=%d", len(n.cluster.nodes)))
	}
	args = append(args,
		"-node", n.name, "-data-dir", n.DataDir(), "-config-file", file, "-log-level", "warn",
		"-bind", "127.0.0.1", "-advertise", "127.0.0.1", "-client", "127.0.0.1",
		"-http-port", strconv.Itoa(n.ports[consulHTTP]),
		"-server-port", strconv.Itoa(n.ports[consulServer]),
		"-serf-lan-port", strconv.Itoa(n.ports[consulLAN]),
		"-serf-wan-port", strconv.Itoa(n.ports[consulWAN]),
		"-dns-port", "-1", "-grpc-port", "-1", "-grpc-tls-port", "-1",
	)
	if s.config.TLS != nil {
		args = append(args, "-https-port", strconv.Itoa(n.ports[consulHTTPS]))
	}
	for _, other := range n.cluster.nodes {
		if other != n {
			args = append(args, "-retry-join", hostPort(other.ports[consulLAN]))
		}
	}
	return exec.Command(s.program, args...), nil
}

func (s *consulStore) configuration() string {
	lines := []string{
		"disable_update_check = true",
		"disable_host_node_id = true",
		"connect { enabled = false }",
		fmt.Sprintf("performance { raft_multiplier = %d }", s.config.RaftMultiplier),
		`retry_interval = "1s"`,
		fmt.Sprintf("session_ttl_min = %q", s.config.SessionTTLMin),
	}
	if tls := s.config.TLS; tls != nil {
		lines = append(lines, "tls {", "  https {",
			fmt.Sprintf("    cert_file = %q", tls.CertFile),
			fmt.Sprintf("    key_file = %q", tls.KeyFile))
		if tls.ClientCAFile != "" {
			lines = append(lines, fmt.Sprintf("    ca_file = %q", tls.ClientCAFile), "    verify_incoming = true")
		}
		lines = append(lines, "  }", "}")
	}
	return strings.Join(append(lines, s.config.Config, ""), "\n")
}

// do sends a request to one server and returns the reply's body and header.
func (s *consulStore) do(ctx context.Context, n *Node, method, path string, body io.Reader) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://"+n.Addr()+path, body)
	if err != nil {
		return nil, fmt.Errorf("a request to %s: %w", n.name, err)
	}
	if s.config.Token != "" {
		request.Header.Set("X-Consul-Token", s.config.Token)
	}
	reply, err := s.client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", n.name, err)
	}
	if reply.StatusCode != http.StatusOK {
		text, err := io.ReadAll(reply.Body)
		return nil, errors.Join(fmt.Errorf("%s answers %s %s with %s: %s", n.name, method, path, reply.Status, text),
			err, reply.Body.Close())
	}
	return reply, nil
}

func (s *consulStore) get(ctx context.Context, n *Node, path string, into any) (http.Header, error) {
	reply, err := s.do(ctx, n, http.MethodGet, path, nil)
	if err != nil {
		return nil, err
	}
	defer reply.Body.Close()
	if err := json.NewDecoder(reply.Body).Decode(into); err != nil {
		return nil, fmt.Errorf("reading what %s answers to %s: %w", n.name, path, err)
	}
	return reply.Header, nil
}

// ask asks who leads, and for a consistent read of the catalogue: the agent
// must be in it, since sessions hang on it.
func (s *consulStore) ask(ctx context.Context, n *Node) (status, error) {
	var leader string
	if _, err := s.get(ctx, n, "/v1/status/leader", &leader); err != nil {
		return status{}, err
	}
	if leader == "" {
		return status{}, fmt.Errorf("%s knows no leader", n.name)
	}
	var nodes []struct{ Node string }
	header, err := s.get(ctx, n, "/v1/catalog/nodes?consistent", &nodes)
	if err != nil {
		return status{}, err
	}
	hidden := header.Get("X-Consul-Results-Filtered-By-Acls") == "true"
	if !hidden && !slices.ContainsFunc(nodes, func(node struct{ Node string }) bool { return node.Node == n.name }) {
		return status{}, fmt.Errorf("%s is not in the catalogue", n.name)
	}
	self := hostPort(n.ports[consulServer])
	return status{self: self, leader: leader, leads: self == leader}, nil
}

func (s *consulStore) snapshot(ctx context.Context, leader *Node, path string) error {
	reply, err := s.do(ctx, leader, http.MethodGet, "/v1/snapshot", nil)
	if err != nil {
		return err
	}
	defer reply.Body.Close()
	out, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("making the snapshot file: %w", err)
	}
	defer out.Close()
	if _, err := io.Copy(out, reply.Body); err != nil {
		return fmt.Errorf("receiving the snapshot: %w", err)
	}
	return nil
}

// restore sends the snapshot to the leader: Consul is restored while it
// serves. It has no revision bump.
func (s *consulStore) restore(ctx context.Context, c *Cluster, path string, _ bool) error {
	leader, err := c.Leader(ctx)
	if err != nil {
		return err
	}
	content, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("opening the snapshot: %w", err)
	}
	defer content.Close()
	reply, err := s.do(ctx, leader, http.MethodPut, "/v1/snapshot", content)
	if err != nil {
		return err
	}
	if err := reply.Body.Close(); err != nil {
		return fmt.Errorf("restoring %s: %w", leader.name, err)
	}
	return c.WaitReady(ctx)
}

func (s *consulStore) close() error {
	s.client.CloseIdleConnections()
	return nil
}
