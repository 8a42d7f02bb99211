package bench

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// postgresTables are the peer's own. A commit of a key notifies where somebody
// watches it.
const postgresTables = `;
CREATE TABLE public.bare (key text PRIMARY KEY, value text NOT NULL);
CREATE TABLE public.watched (key text PRIMARY KEY);
CREATE TABLE public.counter (key text PRIMARY KEY, n bigint NOT NULL);
CREATE TABLE public.present (dir text, id text, value text NOT NULL, seen timestamptz NOT NULL, PRIMARY KEY (dir, id))`

type postgresPeer struct {
	url  string
	ttl  time.Duration
	pool *pgxpool.Pool
	life context.Context
	end  context.CancelFunc
	all  sync.WaitGroup

	mu    sync.Mutex
	conns []*pgx.Conn // of candidates
}

func openPostgres(addrs []string, ttl time.Duration) (peer, error) {
	p := &postgresPeer{ttl: ttl, url: fmt.Sprintf("postgres://postgres@%s/postgres?sslmode=disable&target_session_attrs=primary&connect_timeout=2", strings.Join(addrs, ","))}
	p.life, p.end = context.WithCancel(context.Background())
	var err error
	p.pool, err = pgxpool.New(p.life, p.url)
	return p, err
}

func (p *postgresPeer) put(ctx context.Context, key string) error {
	_, err := p.pool.Exec(ctx, `WITH put AS (INSERT INTO public.bare VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = $2)
		SELECT pg_notify('bare', key) FROM public.watched WHERE key = $1`, key, small)
	return err
}

func (p *postgresPeer) increment(ctx context.Context, key string) error {
	_, err := p.pool.Exec(ctx, "INSERT INTO public.counter AS c VALUES ($1, 1) ON CONFLICT (key) DO UPDATE SET n = c.n + 1", key)
	return err
}

// watch hears of a key of the peer's own, and of one of ours.
func (p *postgresPeer) watch(ctx context.Context, key string) (<-chan time.Time, error) {
	if _, err := p.pool.Exec(ctx, "INSERT INTO public.watched VALUES ($1) ON CONFLICT DO NOTHING", key); err != nil {
		return nil, err
	}
	changed := make(chan time.Time, 16)
	return changed, p.listen(ctx, []string{"bare", "quorate"}, func(payload string) {
		if payload == "" || slices.Contains(strings.Split(payload, "\n"), key) {
			notify(changed)
		}
	})
}

// listen listens until ctx or the peer ends.
func (p *postgresPeer) listen(ctx context.Context, channels []string, hear func(payload string)) error {
	conn, err := pgx.Connect(ctx, p.url)
	if err != nil {
		return err
	}
	for _, channel := range channels {
		if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
			drop(conn)
			return err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(p.life, cancel)
	p.all.Go(func() {
		defer cancel()
		defer stop()
		defer drop(conn)
		for {
			n, err := conn.WaitForNotification(ctx)
			if err != nil {
				return
			}
			hear(n.Payload)
		}
	})
	return nil
}

// drop closes a connection without waiting for the server.
func drop(conn *pgx.Conn) {
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	_ = conn.Close(gone)
}

// candidate takes a lock of a session of its own: one session may take its locks
// again.
func (p *postgresPeer) candidate(name string, _ bool) (candidate, error) {
	conn, err := pgx.Connect(p.life, p.url)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns = append(p.conns, conn)
	return postgresCandidate{conn, name}, nil
}

func (p *postgresPeer) mutex(name string, alone bool) (candidate, error) {
	return p.candidate(name, alone)
}
func (p *postgresPeer) permit(string, bool) (candidate, error) { return nil, nil }

type postgresCandidate struct {
	conn *pgx.Conn
	name string
}

func (c postgresCandidate) take(ctx context.Context) error {
	_, err := c.conn.Exec(ctx, "SELECT pg_advisory_lock(hashtextextended($1, 0))", c.name)
	return err
}

func (c postgresCandidate) give(ctx context.Context) error {
	_, err := c.conn.Exec(ctx, "SELECT pg_advisory_unlock(hashtextextended($1, 0))", c.name)
	return err
}

func (p *postgresPeer) present(ctx context.Context, dir, id string) error {
	beat := func(ctx context.Context) error {
		_, err := p.pool.Exec(ctx, `INSERT INTO public.present VALUES ($1, $2, $3, now())
			ON CONFLICT (dir, id) DO UPDATE SET seen = now()`, dir, id, small)
		return err
	}
	if err := beat(ctx); err != nil {
		return err
	}
	p.all.Go(func() {
		for pause(p.life, p.ttl/3) == nil {
			_ = beat(p.life)
		}
	})
	return p.listen(p.life, []string{"present"}, func(string) {})
}

func (p *postgresPeer) close() {
	p.end()
	p.all.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range p.conns {
		drop(conn)
	}
	p.pool.Close()
}
