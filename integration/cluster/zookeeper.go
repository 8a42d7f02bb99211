package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ZooKeeperConfig says what differs from a plain ensemble of three; zero is
// good.
type ZooKeeperConfig struct {
	// Nodes is how many servers there are; 0 means 3.
	Nodes int
	// TickTime is the servers' unit of time; 0 means 500 ms.
	TickTime time.Duration
	// MinSessionTimeout and MaxSessionTimeout bound what a client may ask
	// for; 0 means the servers' defaults, 2 and 20 ticks.
	MinSessionTimeout, MaxSessionTimeout time.Duration
	// MaxClientCnxns is how many connections a server takes from one address;
	// 0 means the servers' default, 60, negative means no limit.
	MaxClientCnxns int
	// Observers is how many of the servers, the last ones, do not vote.
	Observers int
	// Config is appended to every server's zoo.cfg.
	Config string
	// Properties are Java system properties, by name.
	Properties map[string]string
	// TLS, if set, lets every server listen with TLS as well, at
	// Node.SecureAddr; Node.Addr stays open for the cluster's own questions.
	TLS *ServerTLS
}

// The meaning of Node.ports.
const (
	zooClient = iota
	zooQuorum
	zooElection
	zooSecure
	zooPorts
)

type zooStore struct {
	config    ZooKeeperConfig
	classPath string
}

// StartZooKeeper starts ZooKeeper servers and returns when they serve. The
// class path is that of the Debian package zookeeper, unless the environment
// variable QUORATE_ZOOKEEPER_CLASSPATH says otherwise; java is the one in PATH.
func StartZooKeeper(config ZooKeeperConfig) (*Cluster, error) {
	classPath, err := ZooKeeperClassPath()
	if err != nil {
		return nil, err
	}
	if config.TickTime == 0 {
		config.TickTime = 500 * time.Millisecond
	}
	return newCluster(&zooStore{config: config, classPath: classPath}, config.Nodes)
}

func (s *zooStore) name() string { return "zookeeper" }

func (s *zooStore) ports() int { return zooPorts }

func (s *zooStore) stopSignal() syscall.Signal { return syscall.SIGTERM }

func (s *zooStore) securePort() int {
	if s.config.TLS == nil {
		return 0
	}
	return zooSecure
}

func (s *zooStore) command(n *Node) (*exec.Cmd, error) {
	text, err := s.configuration(n)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(n.dir, "zoo.cfg")
	err = errors.Join(os.WriteFile(file, []byte(n.edited(text)), 0o600),
		os.WriteFile(filepath.Join(n.DataDir(), "myid"), []byte(strconv.Itoa(n.index+1)), 0o600))
	if err != nil {
		return nil, fmt.Errorf("writing the configuration of %s: %w", n.name, err)
	}
	// Small and quick to start, on a machine that others share.
	args := []string{
		"-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.net.preferIPv4Stack=true",
		"-Dorg.slf4j.simpleLogger.showDateTime=true",
	}
	for name, value := range s.config.Properties {
		args = append(args, "-D"+name+"="+value)
	}
	args = append(args, "-cp", n.dir+":"+s.classPath, "org.apache.zookeeper.server.quorum.QuorumPeerMain", file)
	return exec.Command("java", args...), nil
}

func (s *zooStore) configuration(n *Node) (string, error) {
	lines := []string{
		fmt.Sprintf("tickTime=%d", s.config.TickTime.Milliseconds()),
		"initLimit=20",
		"syncLimit=5",
		"dataDir=" + n.DataDir(),
		"clientPort=" + strconv.Itoa(n.ports[zooClient]),
		"clientPortAddress=127.0.0.1",
		"admin.enableServer=false",
		"4lw.commands.whitelist=*",
	}
	voters := len(n.cluster.nodes) - s.config.Observers
	for _, other := range n.cluster.nodes {
		line := fmt.Sprintf("server.%d=127.0.0.1:%d:%d", other.index+1, other.ports[zooQuorum], other.ports[zooElection])
		if other.index >= voters {
			line += ":observer"
		}
		lines = append(lines, line)
	}
	if n.index >= voters {
		lines = append(lines, "peerType=observer")
	}
	if d := s.config.MinSessionTimeout; d > 0 {
		lines = append(lines, fmt.Sprintf("minSessionTimeout=%d", d.Milliseconds()))
	}
	if d := s.config.MaxSessionTimeout; d > 0 {
		lines = append(lines, fmt.Sprintf("maxSessionTimeout=%d", d.Milliseconds()))
	}
	if m := s.config.MaxClientCnxns; m != 0 {
		lines = append(lines, fmt.Sprintf("maxClientCnxns=%d", max(m, 0)))
	}
	if s.config.TLS != nil {
		secure, err := s.secure(n, s.config.TLS)
		if err != nil {
			return "", err
		}
		lines = append(lines, secure...)
	}
	return strings.Join(append(lines, s.config.Config, ""), "\n"), nil
}

// secure returns the settings for TLS. ZooKeeper wants certificate and key in
// one file.
func (s *zooStore) secure(n *Node, tls *ServerTLS) ([]string, error) {
	key, err := os.ReadFile(tls.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("reading the key: %w", err)
	}
	cert, err := os.ReadFile(tls.CertFile)
	if err != nil {
		return nil, fmt.Errorf("reading the certificate: %w", err)
	}
	store := filepath.Join(n.dir, "server.pem")
	if err := os.WriteFile(store, append(append(key, '\n'), cert...), 0o600); err != nil {
		return nil, fmt.Errorf("writing the key store: %w", err)
	}
	lines := []string{
		"secureClientPort=" + strconv.Itoa(n.ports[zooSecure]),
		"secureClientPortAddress=127.0.0.1",
		"serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory",
		"ssl.keyStore.location=" + store,
		"ssl.keyStore.type=PEM",
	}
	if tls.ClientCAFile == "" {
		return append(lines, "ssl.clientAuth=none"), nil
	}
	return append(lines, "ssl.trustStore.location="+tls.ClientCAFile, "ssl.trustStore.type=PEM"), nil
}

// ask asks for the server's mode. A follower serves only while it follows,
// and does not say whom. The port for TLS is opened after the other.
func (s *zooStore) ask(ctx context.Context, n *Node) (status, error) {
	if addr := n.SecureAddr(); addr != "" {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err != nil {
			return status{}, fmt.Errorf("asking %s: %w", n.name, err)
		}
		_ = conn.Close()
	}
	text, err := FourLetterWord(ctx, n, "srvr")
	if err != nil {
		return status{}, err
	}
	_, mode, _ := strings.Cut(text, "Mode: ")
	mode, _, _ = strings.Cut(mode, "\n")
	switch mode {
	case "leader", "standalone":
		return status{self: n.name, leader: n.name, leads: true}, nil
	case "follower", "observer":
		return status{self: n.name}, nil
	}
	return status{}, fmt.Errorf("%s does not serve: %s", n.name, strings.TrimSpace(text))
}

// FourLetterWord sends one of ZooKeeper's four letter commands ("srvr",
// "cons", "wchs", "mntr") to a server and returns the answer.
func FourLetterWord(ctx context.Context, n *Node, word string) (string, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", n.Addr())
	if err != nil {
		return "", fmt.Errorf("asking %s: %w", n.name, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if _, err := io.WriteString(conn, word); err != nil {
		return "", fmt.Errorf("asking %s for %s: %w", n.name, word, err)
	}
	text, err := io.ReadAll(conn)
	if err != nil {
		return "", fmt.Errorf("reading what %s answers to %s: %w", n.name, word, err)
	}
	return string(text), nil
}

func (s *zooStore) close() error { return nil }

// expel is for operators who have switched reconfiguration on: no cluster of
// ours has.
func (s *zooStore) expel(context.Context, *Node) error {
	return fmt.Errorf("%w: the members are in the servers' configuration", errors.ErrUnsupported)
}

// readmit has nothing to do: who the members are is in the configuration.
func (s *zooStore) readmit(context.Context, *Node) error { return nil }

func (s *zooStore) votes(context.Context, *Node) (bool, error) { return true, nil }

// snapshot copies the leader's snapshots and log, as they are: what was
// acknowledged is on its disk.
func (s *zooStore) snapshot(_ context.Context, leader *Node, path string) error {
	if err := os.CopyFS(path, os.DirFS(filepath.Join(leader.DataDir(), "version-2"))); err != nil {
		return fmt.Errorf("copying the data of %s: %w", leader.name, err)
	}
	return nil
}

// restore puts the copy in place of every server's data with all of them
// stopped: one that runs would bring the others up to its own state.
func (s *zooStore) restore(ctx context.Context, c *Cluster, path string, _ bool) error {
	if err := c.KillAll(); err != nil {
		return err
	}
	err := c.each(func(n *Node) error {
		if err := n.Wipe(); err != nil {
			return err
		}
		if err := os.CopyFS(filepath.Join(n.DataDir(), "version-2"), os.DirFS(path)); err != nil {
			return fmt.Errorf("restoring %s: %w", n.name, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.StartAll(ctx)
}
