package refusals

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/quorate/quorate/integration/cluster"
	"github.com/quorate/quorate/integration/harness"
)

// guardedPostgres gives each process a role. One that may not write may read.
func guardedPostgres(t testing.TB, nodes int) *guarded {
	t.Helper()
	c, err := cluster.StartPostgresCluster(cluster.PostgresConfig{Nodes: nodes, Schema: harness.PostgresSchema()})
	closing(t, c, err)
	exec := func(t testing.TB, sql string) {
		t.Helper()
		eventually(t, sql, func(ctx context.Context) error {
			leader, err := c.Leader(ctx)
			if err != nil {
				return err
			}
			admin, err := pgx.Connect(ctx, "postgres://postgres@"+leader.Addr()+"/postgres?sslmode=disable")
			if err != nil {
				return err
			}
			defer admin.Close(ctx)
			return admin.PgConn().Exec(ctx, sql).Close()
		})
	}
	g := &guarded{cluster: c}
	g.allow = func(t testing.TB, name string, write bool) {
		t.Helper()
		verb, preposition := "REVOKE", "FROM"
		if write {
			verb, preposition = "GRANT", "TO"
		}
		exec(t, harness.PostgresGrant(verb, preposition, name)+`;
			GRANT USAGE ON SCHEMA quorate TO `+name+"; GRANT EXECUTE ON FUNCTION quorate.read, quorate.status TO "+name)
	}
	g.open = func(t testing.TB, name string) *process {
		t.Helper()
		exec(t, "CREATE ROLE "+name+" LOGIN")
		g.allow(t, name, true)
		d, closePool, err := harness.PostgresDriver(c.Addrs(), name)
		must(t, err)
		t.Cleanup(func() { _ = closePool() })
		return open(t, d)
	}
	return g
}
