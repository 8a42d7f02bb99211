package cluster

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// postgresValue asks the servers in turn until one takes itself for the primary
// and answers.
type postgresValue struct {
	c    *Cluster
	next int
}

func (v *postgresValue) try(ctx context.Context, do func(context.Context, *pgx.Conn) error) error {
	return persistently(ctx, func(ctx context.Context) error {
		v.next++
		nodes := v.c.Nodes()
		conn, err := pgx.Connect(ctx, postgresURL(nodes[v.next%len(nodes)].Addr()))
		if err != nil {
			return err
		}
		defer conn.Close(ctx)
		return do(ctx, conn)
	})
}

func (v *postgresValue) set(ctx context.Context, to string) error {
	return v.try(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "UPDATE value SET value = $1", to)
		return err
	})
}

// get writes, so that no standby, and no deposed primary, answers.
func (v *postgresValue) get(ctx context.Context) (got string, err error) {
	err = v.try(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, "UPDATE value SET value = value RETURNING value").Scan(&got)
	})
	return got, err
}

func startPostgresCluster(t *testing.T) *Cluster {
	return starts(t, "PostgreSQL", func() (*Cluster, error) {
		return StartPostgresCluster(PostgresConfig{Schema: "CREATE TABLE value (value text NOT NULL); INSERT INTO value VALUES ('')"})
	})
}

func TestPostgresCluster(t *testing.T) {
	c := startPostgresCluster(t)
	testCluster(t, c, &postgresValue{c: c})
}

// TestPostgresDepose: a deposed primary answers nobody, and what it had
// acknowledged before is on the new one.
func TestPostgresDepose(t *testing.T) {
	c := startPostgresCluster(t)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	v := &postgresValue{c: c}
	must(v.set(ctx, "one"))
	old, err := c.Leader(ctx)
	must(err)
	demote, err := c.Depose(ctx)
	must(err)
	conn, err := pgx.Connect(ctx, postgresURL(old.Addr()))
	must(err)
	brief, end := context.WithTimeout(ctx, time.Second)
	defer end()
	if _, err := conn.Exec(brief, "UPDATE value SET value = 'lost'"); err == nil {
		t.Error("a deposed primary acknowledged a commit")
	}
	got, err := v.get(ctx)
	must(err)
	if got != "one" {
		t.Errorf("the new primary has %q", got)
	}
	must(v.set(ctx, "two"))
	demote()
	must(c.WaitReady(ctx))
	if leader, err := c.Leader(ctx); err != nil || leader == old {
		t.Errorf("leader %v, %v", leader, err)
	}
	// One that lost its disk, and all of them.
	must(old.Kill())
	must(old.Wipe())
	must(old.Replace(ctx))
	must(c.KillAll())
	for _, n := range c.Nodes() {
		must(n.Wipe())
	}
	must(c.StartAll(ctx))
	if got, err := v.get(ctx); err != nil || got != "" {
		t.Errorf("after all data was lost: %q, %v", got, err)
	}
}
