package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// Crash ends the server at once, its children too, and returns when it is gone.
// What it had acknowledged is there when it is launched again.
func (p *Postgres) Crash() error { return p.end(syscall.SIGQUIT) }

// Stop ends the server in order. Its clients are cut off.
func (p *Postgres) Stop() error { return p.end(syscall.SIGINT) }

func (p *Postgres) end(sig syscall.Signal) error {
	err := p.proc.signal(sig)
	timer := time.NewTimer(stopTimeout)
	defer timer.Stop()
	select {
	case <-p.proc.exited:
	case <-timer.C:
		err = errors.Join(err, p.proc.signal(syscall.SIGKILL))
		<-p.proc.exited
	}
	return err
}

// Pause stops the server's processes with SIGSTOP; the kernel goes on accepting
// connections for it. Resume lets them go on, unaware of the pause.
func (p *Postgres) Pause() error { return p.proc.signal(syscall.SIGSTOP) }

// Resume lets a paused server go on.
func (p *Postgres) Resume() error { return p.proc.signal(syscall.SIGCONT) }

// Exec runs SQL as the superuser on a connection of its own.
func (p *Postgres) Exec(ctx context.Context, sql string, args ...any) error {
	conn, err := pgx.Connect(ctx, p.URL())
	if err != nil {
		return fmt.Errorf("connecting to postgres: %w", err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, sql, args...); err != nil {
		return fmt.Errorf("%.60s: %w", sql, err)
	}
	return nil
}

// Backup takes a base backup and returns its directory, which goes with the
// server.
func (p *Postgres) Backup() (string, error) {
	dir, err := os.MkdirTemp(p.dir.path, "backup-")
	if err != nil {
		return "", err
	}
	if err := p.give(dir); err != nil {
		return "", err
	}
	return dir, p.backUp(p.URL(), dir)
}

// Restore puts the server back to a base backup, as an operator does that has
// no archive: it stops, and is launched on the backup's files. Its timeline
// stays the same. The backup is used up.
func (p *Postgres) Restore(backup string) error {
	if err := p.Stop(); err != nil {
		return err
	}
	if err := os.RemoveAll(p.data()); err != nil {
		return err
	}
	if err := os.Rename(backup, p.data()); err != nil {
		return err
	}
	return p.Launch()
}

// StartStandby starts a standby that follows the server under a name, and
// returns when it serves.
func (p *Postgres) StartStandby(name string) (*Postgres, error) {
	return startPostgres(func(s *Postgres) error { return s.becomeStandby(p, name) })
}

// Rejoin makes a server that ended a standby of another, which was promoted in
// its place.
func (p *Postgres) Rejoin(primary *Postgres, name string) error {
	if err := os.RemoveAll(p.data()); err != nil {
		return err
	}
	if err := p.becomeStandby(primary, name); err != nil {
		return err
	}
	return p.Launch()
}

func (p *Postgres) becomeStandby(primary *Postgres, name string) error {
	if err := p.backUp(primary.URL(), p.data(), "--write-recovery-conf"); err != nil {
		return err
	}
	// The last setting of a name counts.
	conf, err := os.OpenFile(filepath.Join(p.data(), "postgresql.auto.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(conf, "primary_conninfo = 'host=127.0.0.1 port=%d user=postgres application_name=%s'\n", primary.port, name)
	return errors.Join(err, conf.Close())
}

// RequireStandby makes commits wait for the standby of that name from now on,
// for none if it is empty, and returns when the server does so.
func (p *Postgres) RequireStandby(ctx context.Context, name string) error {
	if err := p.Exec(ctx, "ALTER SYSTEM SET synchronous_standby_names = '"+name+"'"); err != nil {
		return err
	}
	if err := p.Exec(ctx, "SELECT pg_reload_conf()"); err != nil {
		return err
	}
	return poll(ctx, func() (bool, error) {
		var ready bool
		err := p.Ask(ctx, &ready, `SELECT current_setting('synchronous_standby_names') = $1
			AND ($1 = '' OR EXISTS (SELECT FROM pg_stat_replication WHERE sync_state = 'sync'))`, name)
		return ready, err
	})
}

// Promote makes a standby the primary and returns when it is.
func (p *Postgres) Promote(ctx context.Context) error {
	var promoted bool
	if err := p.Ask(ctx, &promoted, "SELECT pg_promote()"); err != nil {
		return err
	}
	if !promoted {
		return errors.New("the standby was not promoted in time")
	}
	return nil
}

// Ask runs a query as the superuser on a connection of its own, and scans the
// only column of its only row.
func (p *Postgres) Ask(ctx context.Context, answer any, sql string, args ...any) error {
	conn, err := pgx.Connect(ctx, p.URL())
	if err != nil {
		return fmt.Errorf("connecting to postgres: %w", err)
	}
	defer conn.Close(ctx)
	if err := conn.QueryRow(ctx, sql, args...).Scan(answer); err != nil {
		return fmt.Errorf("%.60s: %w", sql, err)
	}
	return nil
}
