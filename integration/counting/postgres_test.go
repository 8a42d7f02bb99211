package counting

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// plainPostgres keeps its counters in a table of its own.
func plainPostgres(t testing.TB, addrs []string, key string) (func(context.Context) error, func(context.Context) (int64, error)) {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), fmt.Sprintf("postgres://postgres@%s/postgres?sslmode=disable&target_session_attrs=primary&connect_timeout=1", strings.Join(addrs, ",")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	// Everybody connects at once now, and a timeout of a second may be too short for that.
	var last error
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		_, last = pool.Exec(t.Context(), "CREATE TABLE IF NOT EXISTS public.plain (key text PRIMARY KEY, value bigint NOT NULL)")
		if last == nil || !wait(t.Context(), 50*time.Millisecond) {
			break
		}
	}
	if last != nil {
		t.Fatal(last)
	}
	read := func(ctx context.Context) (value int64, err error) {
		err = pool.QueryRow(ctx, "SELECT value FROM public.plain WHERE key = $1", key).Scan(&value)
		if errors.Is(err, pgx.ErrNoRows) {
			return 0, nil
		}
		return value, err
	}
	once := func(ctx context.Context) error {
		value, err := read(ctx)
		if err != nil {
			return err
		}
		tag, err := pool.Exec(ctx, `INSERT INTO public.plain AS p VALUES ($1, $2 + 1)
			ON CONFLICT (key) DO UPDATE SET value = $2 + 1 WHERE p.value = $2`, key, value)
		if err == nil && tag.RowsAffected() == 0 {
			err = errRefused
		}
		return err
	}
	return once, read
}
