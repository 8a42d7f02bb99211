package faults

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/quorate/quorate/integration/cluster"
	"github.com/quorate/quorate/integration/harness"
)

// postgresAdmin connects anew, to the next server, after each failure: a
// standby writes nothing, and a deposed primary never answers.
type postgresAdmin struct {
	cluster *cluster.Cluster
	conn    *pgx.Conn // of write, which one goroutine calls
	turn    int
}

func newPostgresAdmin(c *cluster.Cluster) admin { return &postgresAdmin{cluster: c} }

func (a *postgresAdmin) ways() int { return 1 }

// write counts only where the schema is: it goes with a wipe.
func (a *postgresAdmin) write(ctx context.Context, _ int) (err error) {
	if a.conn == nil {
		addrs := a.cluster.Addrs()
		a.turn++
		if a.conn, err = connectAdmin(ctx, addrs[a.turn%len(addrs)]); err != nil {
			return err
		}
		if _, err := a.conn.Exec(ctx, "CREATE TABLE IF NOT EXISTS public.probe (id integer PRIMARY KEY, at timestamptz)"); err != nil {
			a.close()
			return err
		}
	}
	_, err = a.conn.Exec(ctx, `INSERT INTO public.probe SELECT version, now() FROM quorate.server
		ON CONFLICT (id) DO UPDATE SET at = now()`)
	if err != nil {
		a.close()
	}
	return err
}

func connectAdmin(ctx context.Context, addr string) (*pgx.Conn, error) {
	return pgx.Connect(ctx, "postgres://postgres@"+addr+"/postgres?sslmode=disable")
}

func (a *postgresAdmin) end(ctx context.Context, session string) error {
	return a.exec(ctx, "DELETE FROM quorate.lease WHERE id = $1", session)
}

func (a *postgresAdmin) sessions(ctx context.Context) (n int, err error) {
	err = a.ask(ctx, &n, "SELECT count(*) FROM quorate.lease WHERE expires > quorate.clock()")
	return n, err
}

// on does something on a connection of its own to the primary.
func (a *postgresAdmin) on(ctx context.Context, do func(*pgx.Conn) error) error {
	leader, err := a.cluster.Leader(ctx)
	if err != nil {
		return err
	}
	conn, err := connectAdmin(ctx, leader.Addr())
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	return do(conn)
}

func (a *postgresAdmin) exec(ctx context.Context, sql string, args ...any) error {
	return a.on(ctx, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, sql, args...)
		return err
	})
}

func (a *postgresAdmin) ask(ctx context.Context, answer any, sql string) error {
	return a.on(ctx, func(conn *pgx.Conn) error { return conn.QueryRow(ctx, sql).Scan(answer) })
}

func (a *postgresAdmin) close() {
	if a.conn != nil {
		gone, cancel := context.WithCancel(context.Background())
		cancel()
		_ = a.conn.Close(gone)
		a.conn = nil
	}
}

// deposedAlive has a standby promoted while the primary goes on, and serves the
// clients that it has: it must not answer them any more.
func deposedAlive(ctx context.Context, r *run) error {
	demote, err := r.cluster.Depose(ctx)
	if err != nil {
		return err
	}
	pause(r.either())
	r.heals()
	demote()
	return r.cluster.WaitReady(ctx)
}

// connectionsEnded has the server end every client's connections, again and
// again.
func connectionsEnded(ctx context.Context, r *run) error {
	admin := r.admin.(*postgresAdmin)
	for until := time.Now().Add(r.ttl + r.draw(r.ttl)); time.Now().Before(until); {
		pause(100*time.Millisecond + r.draw(300*time.Millisecond))
		err := admin.exec(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '"+harness.PostgresRole+"'")
		if err != nil {
			return err
		}
	}
	return nil
}

// connectionsUsedUp has somebody else take all connections that are left, and
// those of the clients end: they find no place until the other one leaves.
func connectionsUsedUp(ctx context.Context, r *run) error {
	leader, err := r.cluster.Leader(ctx)
	if err != nil {
		return err
	}
	admin, err := connectAdmin(ctx, leader.Addr()) // from the places that are kept for it
	if err != nil {
		return err
	}
	defer admin.Close(ctx)
	var taken []*pgx.Conn
	defer func() {
		for _, conn := range taken {
			conn.Close(ctx)
		}
	}()
	take := func() {
		for {
			conn, err := pgx.Connect(ctx, "postgres://greedy@"+leader.Addr()+"/postgres?sslmode=disable")
			if err != nil {
				return
			}
			taken = append(taken, conn)
		}
	}
	if _, err := admin.Exec(ctx, "DROP ROLE IF EXISTS greedy"); err != nil {
		return err
	}
	if _, err := admin.Exec(ctx, "CREATE ROLE greedy LOGIN"); err != nil {
		return err
	}
	take()
	for until := time.Now().Add(r.either()); time.Now().Before(until); pause(100 * time.Millisecond) {
		if _, err := admin.Exec(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '"+harness.PostgresRole+"'"); err != nil {
			return err
		}
		take()
	}
	if len(taken) == 0 {
		return errors.New("no connection was left to take")
	}
	r.heals()
	return nil
}

// The clock by which the server judges leases is stepped where its functions
// read it: the machine's is everybody's.
func clockForward(ctx context.Context, r *run) error { return r.stepClock(ctx, 1) }
func clockBack(ctx context.Context, r *run) error    { return r.stepClock(ctx, -1) }

func (r *run) stepClock(ctx context.Context, sign time.Duration) error {
	admin := r.admin.(*postgresAdmin)
	var ahead float64
	if err := admin.ask(ctx, &ahead, "SELECT 1000 * extract(epoch FROM quorate.clock() - clock_timestamp())::float8"); err != nil {
		return err
	}
	step := sign * (r.ttl/3 + r.draw(2*r.ttl))
	err := admin.exec(ctx, fmt.Sprintf(`CREATE OR REPLACE FUNCTION quorate.clock() RETURNS timestamptz
		LANGUAGE sql VOLATILE AS $$ SELECT clock_timestamp() + interval '%d milliseconds' $$`, int64(ahead)+step.Milliseconds()))
	if err != nil {
		return err
	}
	r.heals()
	return nil
}

// readOnly has the server refuse all writes, as managed services do when its
// disk is full. Renewals are writes.
func readOnly(ctx context.Context, r *run) error {
	admin := r.admin.(*postgresAdmin)
	set := func(sql string) error {
		if err := admin.exec(ctx, sql); err != nil {
			return err
		}
		return admin.exec(ctx, "SELECT pg_reload_conf()")
	}
	if err := set("ALTER SYSTEM SET default_transaction_read_only = on"); err != nil {
		return err
	}
	pause(r.either())
	r.heals()
	return set("ALTER SYSTEM RESET default_transaction_read_only")
}

// refusePostgres takes away the permission to call what writes.
func refusePostgres(ctx context.Context, r *run) (refuse, allow func() error, _ error) {
	admin := r.admin.(*postgresAdmin)
	set := func(verb, preposition string) func() error {
		return func() error {
			return admin.on(ctx, func(conn *pgx.Conn) error {
				return conn.PgConn().Exec(ctx, harness.PostgresGrant(verb, preposition, harness.PostgresRole)).Close()
			})
		}
	}
	return set("REVOKE", "FROM"), set("GRANT", "TO"), nil
}
