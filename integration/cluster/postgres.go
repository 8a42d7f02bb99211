package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"

	"github.com/jackc/pgx/v5"
)

// PostgresBin returns the directory of PostgreSQL's programs: what
// QUORATE_POSTGRES_BIN says, or where the Debian package puts them. It fails if
// they are not installed; cmd/servers installs them.
func PostgresBin() (string, error) {
	if dir := os.Getenv("QUORATE_POSTGRES_BIN"); dir != "" {
		return dir, nil
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return "", fmt.Errorf("PostgreSQL is not installed (make servers does that): %w", errors.Join(err, os.ErrNotExist))
	}
	slices.Sort(found)
	return filepath.Dir(found[len(found)-1]), nil
}

// postgresPrograms runs PostgreSQL's programs. They refuse to run as root, and so
// run as the user of their package then, or as nobody.
type postgresPrograms struct {
	bin string
	as  *syscall.Credential
}

func findPostgres() (*postgresPrograms, error) {
	bin, err := PostgresBin()
	if err != nil || os.Geteuid() != 0 {
		return &postgresPrograms{bin: bin}, err
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		if u, err = user.Lookup("nobody"); err != nil {
			return nil, err
		}
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &postgresPrograms{bin, &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
}

// give gives a directory to the programs' user, who must get at it, and not see
// the others.
func (p *postgresPrograms) give(path string) error {
	if p.as == nil {
		return nil
	}
	for dir := filepath.Dir(path); filepath.Clean(dir) != filepath.Clean(dataRoot()); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o711); err != nil {
			return err
		}
	}
	return os.Chown(path, int(p.as.Uid), int(p.as.Gid))
}

// command returns a command that runs as the programs' user.
func (p *postgresPrograms) command(dir, program string, args ...string) *exec.Cmd {
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.SysProcAttr = dir, &syscall.SysProcAttr{Credential: p.as}
	return cmd
}

// run runs a program to its end, in a directory that is its user's.
func (p *postgresPrograms) run(dir, program string, args ...string) error {
	if out, err := p.command(dir, filepath.Join(p.bin, program), args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", program, err, out)
	}
	return nil
}

// initialize makes the data of a new server.
func (p *postgresPrograms) initialize(data string) error {
	return p.run(filepath.Dir(data), "initdb", "--pgdata", data, "--username", "postgres", "--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync")
}

// backUp takes a base backup of a server.
func (p *postgresPrograms) backUp(url, to string, more ...string) error {
	return p.run(filepath.Dir(to), "pg_basebackup", append([]string{"--dbname", url, "--pgdata", to, "--checkpoint", "fast", "--no-sync"}, more...)...)
}

func postgresURL(addr string) string {
	return "postgres://postgres@" + addr + "/postgres?sslmode=disable"
}

// Postgres is a PostgreSQL server on loopback: a store, or what keeps effects
// that a worker has outside its store. It does not sync to disk: no test cuts
// its power.
type Postgres struct {
	*postgresPrograms
	dir    *dataDir
	forker *forker
	proc   *process
	port   int
	close  func() error
}

// StartPostgres starts a server and returns when it serves.
func StartPostgres() (*Postgres, error) {
	return startPostgres(func(p *Postgres) error { return p.initialize(p.data()) })
}

func startPostgres(fill func(p *Postgres) error) (*Postgres, error) {
	programs, err := findPostgres()
	if err != nil {
		return nil, err
	}
	dir, err := newDataDir("postgres")
	if err != nil {
		return nil, err
	}
	p := &Postgres{postgresPrograms: programs, dir: dir, forker: newForker()}
	p.close = sync.OnceValue(p.shutDown)
	if err := p.start(fill); err != nil {
		return nil, errors.Join(fmt.Errorf("starting postgres: %w", err), p.Close())
	}
	return p, nil
}

func (p *Postgres) start(fill func(p *Postgres) error) error {
	if err := p.give(p.dir.path); err != nil {
		return err
	}
	taken, err := ports.take(1)
	if err != nil {
		return err
	}
	p.port = taken[0]
	if err := fill(p); err != nil {
		return err
	}
	return p.Launch()
}

// Launch starts the server on the data that it has and returns when it serves.
func (p *Postgres) Launch() error {
	server := p.command(p.dir.path, filepath.Join(p.bin, "postgres"), "-D", p.data(), "-p", strconv.Itoa(p.port),
		"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off", "-c", "max_connections=300", "-c", "dynamic_shared_memory_type=mmap")
	var err error
	if p.proc, err = p.forker.start(server, p.log()); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	return poll(ctx, func() (bool, error) {
		if !p.proc.alive() {
			return false, fmt.Errorf("it ended by itself: %w; its last output:\n%s", p.proc.err, tail(p.log()))
		}
		conn, err := pgx.Connect(ctx, p.URL())
		if err != nil {
			return false, nil //nolint:nilerr // Not yet.
		}
		return true, conn.Close(ctx)
	})
}

func (p *Postgres) log() string { return filepath.Join(p.dir.path, "log") }

func (p *Postgres) data() string { return filepath.Join(p.dir.path, "data") }

// Addr returns the server's address, as host:port.
func (p *Postgres) Addr() string { return hostPort(p.port) }

// URL returns what a client connects with.
func (p *Postgres) URL() string { return postgresURL(p.Addr()) }

// Close kills the server and removes its data.
func (p *Postgres) Close() error { return p.close() }

func (p *Postgres) shutDown() error {
	var errs []error
	if p.proc != nil {
		errs = append(errs, p.Resume(), p.Crash())
		ports.give(p.port)
	}
	p.forker.close()
	return errors.Join(append(errs, p.dir.close())...)
}
