package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// PostgresConfig says what differs from a plain cluster of three; zero is good.
type PostgresConfig struct {
	// Nodes is how many servers there are: a primary and its standbys; 0 means 3.
	Nodes int
	// Schema is SQL that is run once on an empty database, as the superuser,
	// before the cluster counts as ready.
	Schema string
	// Config is appended to every server's configuration file.
	Config string
}

// maxConnections is how many clients a server has at once, its default.
const maxConnections = 100

// PostgresConnections is how many connections a server takes, those counted that
// have not said yet who they are: the rest it refuses.
const PostgresConnections = 2 * (maxConnections + 2 + 1 + 4 + 10)

// postgresStore is a primary and standbys, each of whose commits waits for one
// standby, whichever it is. PostgreSQL elects nobody: failover.go has the tool
// that promotes one of two standbys when the primary is gone.
type postgresStore struct {
	*postgresPrograms
	config PostgresConfig
	nodes  int

	begin   sync.Once
	end     context.CancelFunc // of the tool
	watched sync.WaitGroup

	mu       sync.Mutex // guards what follows; no node's lock is taken while it is held
	primary  int
	deposed  map[int]bool // was primary, and holds what nobody else does
	lingers  bool         // a deposed server is left alone
	sessions []*postgresSession
}

// StartPostgresCluster starts a primary and standbys, and returns when they
// serve. It takes three for a failover: a standby is promoted only when it is
// certain that it has every commit, and that no standby serves the old primary.
func StartPostgresCluster(config PostgresConfig) (*Cluster, error) {
	programs, err := findPostgres()
	if err != nil {
		return nil, err
	}
	if config.Nodes == 0 {
		config.Nodes = 3
	}
	s := &postgresStore{postgresPrograms: programs, config: config, nodes: config.Nodes, end: func() {}, deposed: make(map[int]bool)}
	for range config.Nodes {
		s.sessions = append(s.sessions, new(postgresSession))
	}
	return newCluster(s, config.Nodes)
}

func (s *postgresStore) name() string { return "postgres" }

func (s *postgresStore) ports() int { return 1 }

func (s *postgresStore) securePort() int { return 0 }

// stopSignal is that of a shutdown which does not wait for clients to leave.
func (s *postgresStore) stopSignal() syscall.Signal { return syscall.SIGINT }

// command fills the data directory of a server that has none, or whose data
// nobody else has: from the primary, but for the primary itself.
func (s *postgresStore) command(n *Node) (*exec.Cmd, error) {
	s.begin.Do(func() { s.watch(n.cluster) })
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if err := s.give(n.dir); err != nil {
		return nil, err
	}
	// A server whose postmaster died by itself leaves children that end later.
	if err := poll(ctx, func() (bool, error) { return !inhabited(n.DataDir()), nil }); err != nil {
		return nil, fmt.Errorf("waiting for the last processes of %s: %w", n.name, err)
	}
	leads := s.role(n)
	if _, err := os.Stat(filepath.Join(n.DataDir(), "PG_VERSION")); err != nil || !leads && s.isDeposed(n) {
		if err := s.fill(ctx, n); err != nil {
			return nil, fmt.Errorf("the data of %s: %w", n.name, err)
		}
	}
	if err := s.configure(n, s.upstream(n)); err != nil {
		return nil, err
	}
	return s.postgresPrograms.command(n.dir, filepath.Join(s.bin, "postgres"), "-D", n.DataDir(), "-c", "config_file="+postgresConfig(n)), nil
}

func (s *postgresStore) role(n *Node) (leads bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.primary == n.index
}

func (s *postgresStore) isDeposed(n *Node) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.deposed[n.index]
}

func (s *postgresStore) fill(ctx context.Context, n *Node) error {
	if s.role(n) {
		if err := os.RemoveAll(n.DataDir()); err != nil {
			return err
		}
		return s.initialize(n.DataDir())
	}
	var last error
	err := poll(ctx, func() (bool, error) {
		primary := s.leader(n.cluster)
		if !s.answers(ctx, primary) {
			return false, nil
		}
		if err := os.RemoveAll(n.DataDir()); err != nil {
			return false, err
		}
		if last = s.backUp(postgresURL(primary.Addr()), n.DataDir()); last != nil {
			return false, nil // the primary is another by now
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.primary != primary.index {
			return false, nil
		}
		delete(s.deposed, n.index)
		return true, nil
	})
	if err != nil {
		return errors.Join(err, last)
	}
	return nil
}

func (s *postgresStore) leader(c *Cluster) *Node {
	s.mu.Lock()
	defer s.mu.Unlock()
	return c.nodes[s.primary]
}

// upstream is the address that a standby follows, empty for the primary.
func (s *postgresStore) upstream(n *Node) string {
	if leader := s.leader(n.cluster); leader != n {
		return leader.Addr()
	}
	return ""
}

func postgresConfig(n *Node) string { return filepath.Join(n.dir, "postgresql.conf") }

// configure writes the server's configuration. A standby follows the server at
// that address, nobody if it is empty.
func (s *postgresStore) configure(n *Node, upstream string) error {
	var names []string
	for _, node := range n.cluster.nodes {
		names = append(names, `"`+node.name+`"`)
	}
	wait, follow := "", ""
	if s.nodes > 1 {
		wait = "ANY 1 (" + strings.Join(names, ", ") + ")"
	}
	if upstream != "" {
		host, port, _ := strings.Cut(upstream, ":")
		follow = fmt.Sprintf("host=%s port=%s user=postgres application_name=%s connect_timeout=2", host, port, n.name)
	}
	lines := []string{
		"listen_addresses = '127.0.0.1'",
		fmt.Sprintf("port = %d", n.ports[0]),
		"unix_socket_directories = ''",
		fmt.Sprintf("max_connections = %d", maxConnections),
		"max_wal_senders = 10",
		"max_worker_processes = 4",
		"autovacuum_max_workers = 2",
		"shared_buffers = 32MB",
		"dynamic_shared_memory_type = mmap", // goes with the data, also of a server that was killed
		"synchronous_standby_names = '" + wait + "'",
		"primary_conninfo = '" + follow + "'",
		"wal_keep_size = 256MB",
		"wal_sender_timeout = 5s",
		"wal_receiver_timeout = 5s",
		"wal_retrieve_retry_interval = 200ms",
	}
	text := n.edited(strings.Join(append(lines, s.config.Config, ""), "\n"))
	if err := os.WriteFile(postgresConfig(n), []byte(text), 0o644); err != nil {
		return fmt.Errorf("writing the configuration of %s: %w", n.name, err)
	}
	signal := filepath.Join(n.DataDir(), "standby.signal")
	if s.role(n) {
		if err := os.Remove(signal); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return nil
	}
	return os.WriteFile(signal, nil, 0o644)
}

// ask asks the primary whether a standby follows it, and a standby whom it
// follows.
func (s *postgresStore) ask(ctx context.Context, n *Node) (status, error) {
	var standby bool
	var followers, follows int
	err := s.sessions[n.index].query(ctx, n, `SELECT pg_is_in_recovery(),
		(SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'),
		coalesce((SELECT sender_port FROM pg_stat_wal_receiver WHERE status = 'streaming'), 0)`, &standby, &followers, &follows)
	if err != nil {
		return status{}, err
	}
	if standby {
		for _, other := range n.cluster.nodes {
			if other.ports[0] == follows {
				return status{self: n.name, leader: other.name}, nil
			}
		}
		return status{}, fmt.Errorf("%s follows nobody", n.name)
	}
	if s.nodes > 1 && followers == 0 {
		return status{}, fmt.Errorf("nobody follows %s", n.name)
	}
	if s.role(n) {
		if err := s.found(ctx, n); err != nil {
			return status{}, err
		}
	}
	return status{self: n.name, leader: n.name, leads: true}, nil
}

// found makes the schema on a primary that does not have it.
func (s *postgresStore) found(ctx context.Context, n *Node) error {
	if s.config.Schema == "" {
		return nil
	}
	session := s.sessions[n.index]
	var there bool
	if err := session.query(ctx, n, "SELECT to_regclass('public.founded') IS NOT NULL", &there); err != nil || there {
		return err
	}
	return session.exec(ctx, n, "BEGIN; CREATE TABLE public.founded (); "+s.config.Schema+"; COMMIT")
}

func (s *postgresStore) snapshot(_ context.Context, leader *Node, path string) error {
	if err := s.give(filepath.Dir(path)); err != nil {
		return err
	}
	return s.backUp(postgresURL(leader.Addr()), path)
}

// restore puts the primary back, as an operator does that has no archive, and
// has the standbys copy it. Its timeline stays the same.
func (s *postgresStore) restore(ctx context.Context, c *Cluster, path string, _ bool) error {
	if err := c.KillAll(); err != nil {
		return err
	}
	for _, n := range c.nodes {
		if err := n.Wipe(); err != nil {
			return err
		}
	}
	leader := s.leader(c)
	if out, err := exec.Command("cp", "-a", path, leader.DataDir()).CombinedOutput(); err != nil {
		return fmt.Errorf("copying the backup: %w\n%s", err, out)
	}
	return c.StartAll(ctx)
}

func (s *postgresStore) expel(context.Context, *Node) error { return errors.ErrUnsupported }

// readmit has nothing to do: a server without data copies the primary's.
func (s *postgresStore) readmit(context.Context, *Node) error { return nil }

// votes: a standby that follows counts.
func (s *postgresStore) votes(context.Context, *Node) (bool, error) { return true, nil }

func (s *postgresStore) close() error {
	s.end()
	s.watched.Wait()
	for _, session := range s.sessions {
		session.close()
	}
	return nil
}

// answerTime is how long a server has to answer at least, whoever asks: on a busy
// machine a connection that is given up and made again gets nowhere.
const answerTime = 5 * time.Second

// postgresSession is a connection to a server that is kept: a new one may find
// no place when the server is full.
type postgresSession struct {
	mu   sync.Mutex
	conn *pgx.Conn
}

func (p *postgresSession) on(ctx context.Context, n *Node, do func(context.Context, *pgx.Conn) error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	deadline := time.Now().Add(answerTime)
	if later, ok := ctx.Deadline(); ok && later.After(deadline) {
		deadline = later
	}
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), deadline)
	defer cancel()
	if p.conn == nil || p.conn.IsClosed() {
		var err error
		if p.conn, err = pgx.Connect(ctx, postgresURL(n.Addr())); err != nil {
			return fmt.Errorf("connecting to %s: %w", n.name, err)
		}
	}
	return do(ctx, p.conn)
}

func (p *postgresSession) query(ctx context.Context, n *Node, sql string, into ...any) error {
	return p.on(ctx, n, func(ctx context.Context, conn *pgx.Conn) error { return conn.QueryRow(ctx, sql).Scan(into...) })
}

func (p *postgresSession) exec(ctx context.Context, n *Node, sql string) error {
	return p.on(ctx, n, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.PgConn().Exec(ctx, sql).ReadAll()
		return err
	})
}

func (p *postgresSession) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn != nil {
		gone, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		_ = p.conn.Close(gone)
	}
}

// lives reports whether an error is a server's own answer.
func lives(err error) bool {
	var said *pgconn.PgError
	return err == nil || errors.As(err, &said)
}
