package postgres

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/quorate/quorate/backend/driver"
)

// version is the version of the schema that this package works with.
const version = 1

//go:embed schema.sql
var schemaSQL string

// SQL returns what Migrate runs in an empty database, for who runs it by hand:
// in one transaction, as the role that shall own the schema.
func SQL(options *Options) (string, error) {
	opts, err := options.withDefaults()
	if err != nil {
		return "", err
	}
	return strings.ReplaceAll(schemaSQL, DefaultSchema, opts.Schema), nil
}

// Migrate makes the schema, if it is not there, as the role that the pool
// connects with. That role then owns the schema and must grant its use; see the
// package's documentation. Many processes may call Migrate at once. A schema of
// a version that this package does not know is ErrInvalid and stays as it is.
func Migrate(ctx context.Context, pool *pgxpool.Pool, options *Options) error {
	sql, err := SQL(options)
	if err != nil {
		return err
	}
	opts, _ := options.withDefaults()
	for attempt := 1; ; attempt++ {
		err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return migrate(ctx, tx, opts.Schema, sql) })
		var refusal *pgconn.PgError
		if err == nil || errors.Is(err, driver.ErrInvalid) {
			return err
		}
		// Another process made the schema at the same time.
		if errors.As(err, &refusal) && (refusal.Code == "42P06" || refusal.Code == "23505") && attempt < 5 {
			continue
		}
		return fmt.Errorf("making the schema %s: %w", opts.Schema, classify(ctx, err, false))
	}
}

func migrate(ctx context.Context, tx pgx.Tx, schema, sql string) error {
	var exists bool
	err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_tables WHERE schemaname = $1 AND tablename = 'server')", pgx.QueryExecModeExec, schema).Scan(&exists)
	if err != nil {
		return err
	}
	if !exists {
		return tx.Conn().PgConn().Exec(ctx, sql).Close()
	}
	var found int
	if err := tx.QueryRow(ctx, "SELECT version FROM "+schema+".server", pgx.QueryExecModeExec).Scan(&found); err != nil {
		return err
	}
	if found != version {
		return fmt.Errorf("%w: schema %s has version %d, this package knows version %d", driver.ErrInvalid, schema, found, version)
	}
	return nil
}
