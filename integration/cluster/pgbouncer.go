package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// PgBouncerProgram returns the program: what QUORATE_PGBOUNCER says, or where
// the Debian package puts it. It fails if it is not installed; cmd/servers
// installs it.
func PgBouncerProgram() (string, error) {
	if program := os.Getenv("QUORATE_PGBOUNCER"); program != "" {
		return program, nil
	}
	const program = "/usr/sbin/pgbouncer"
	if _, err := os.Stat(program); err != nil {
		return "", fmt.Errorf("PgBouncer is not installed (make servers does that): %w", err)
	}
	return program, nil
}

// PgBouncer is a connection pooler in transaction mode before a server.
type PgBouncer struct {
	server *Postgres // whose user and directory it has
	proc   *process
	port   int
	close  func() error
}

// StartPgBouncer starts a pooler before the server and returns when it serves.
// Close it before the server.
func StartPgBouncer(server *Postgres) (*PgBouncer, error) {
	program, err := PgBouncerProgram()
	if err != nil {
		return nil, err
	}
	taken, err := ports.take(1)
	if err != nil {
		return nil, err
	}
	b := &PgBouncer{server: server, port: taken[0]}
	b.close = sync.OnceValue(b.shutDown)
	if err := b.start(program); err != nil {
		return nil, errors.Join(fmt.Errorf("starting pgbouncer: %w", err), b.Close())
	}
	return b, nil
}

func (b *PgBouncer) start(program string) error {
	dir := b.server.dir.path
	users, config := filepath.Join(dir, "users"), filepath.Join(dir, "pgbouncer.ini")
	text := fmt.Sprintf(`[databases]
postgres = host=127.0.0.1 port=%d
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = trust
auth_file = %s
pool_mode = transaction
default_pool_size = 10
server_login_retry = 0.1
`, b.server.port, b.port, users)
	for name, content := range map[string]string{config: text, users: "\"postgres\" \"\"\n\"app\" \"\"\n"} {
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			return err
		}
	}
	var err error
	log := filepath.Join(dir, "pgbouncer.log")
	if b.proc, err = b.server.forker.start(b.server.command(dir, program, config), log); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	return poll(ctx, func() (bool, error) {
		if !b.proc.alive() {
			return false, fmt.Errorf("it ended by itself: %w; its last output:\n%s", b.proc.err, tail(log))
		}
		config, err := pgx.ParseConfig("postgres://postgres@" + b.Addr() + "/postgres?sslmode=disable&default_query_exec_mode=exec")
		if err != nil {
			return false, err
		}
		conn, err := pgx.ConnectConfig(ctx, config)
		if err != nil {
			return false, nil //nolint:nilerr // Not yet.
		}
		return true, conn.Close(ctx)
	})
}

// Addr returns the address for clients, as host:port.
func (b *PgBouncer) Addr() string { return hostPort(b.port) }

// Close ends the pooler.
func (b *PgBouncer) Close() error { return b.close() }

func (b *PgBouncer) shutDown() error {
	defer ports.give(b.port)
	if b.proc == nil {
		return nil
	}
	err := b.proc.signal(syscall.SIGTERM)
	timer := time.NewTimer(stopTimeout)
	defer timer.Stop()
	select {
	case <-b.proc.exited:
	case <-timer.C:
		err = errors.Join(err, b.proc.signal(syscall.SIGKILL))
		<-b.proc.exited
	}
	return err
}
