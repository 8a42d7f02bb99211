package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

const (
	// A connection on which nothing was heard for probeAfter is asked for a
	// sign of life, and given up when none comes within answerWithin.
	probeAfter   = 5 * time.Second
	answerWithin = 3 * time.Second
	// connectTimeout bounds the opening of the connection.
	connectTimeout = 5 * time.Second
	// maxRetry bounds the pause before the next attempt.
	maxRetry = 2 * time.Second
)

var errSilent = errors.New("the listening connection fell silent")

// listen keeps a connection that listens for notifications until the hub is
// stopped. Without one the hub looks more often.
func (h *hub) listen() {
	retry := maxRetry / 16
	for h.ctx.Err() == nil {
		begun := time.Now()
		_ = h.listenOnce() // the watches go on without
		h.heard(false)
		if time.Since(begun) > maxRetry {
			retry = maxRetry / 16
		}
		timer := time.NewTimer(rand.N(retry))
		select {
		case <-h.ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
		retry = min(2*retry, maxRetry)
	}
}

// listenOnce takes a connection out of the pool, which makes another in its
// place when it needs one, and listens on it until it breaks.
func (h *hub) listenOnce() error {
	ctx, cancel := context.WithTimeout(h.ctx, connectTimeout)
	defer cancel()
	pooled, err := h.driver.acquire(ctx)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	owned := pooled.Hijack()
	conn := owned.PgConn()
	defer drop(owned)
	if _, _, err := exchange(ctx, conn, "LISTEN "+h.driver.opts.Schema, nil); err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	h.heard(true)
	stop := context.AfterFunc(h.ctx, func() { _ = conn.Conn().SetDeadline(time.Unix(1, 0)) })
	defer stop()
	return h.follow(conn)
}

// follow hands on the notifications that come.
func (h *hub) follow(conn *pgconn.PgConn) error {
	for asked := false; ; {
		wait := probeAfter
		if asked {
			wait = answerWithin
		}
		now := time.Now()
		err := errors.Join(conn.Conn().SetReadDeadline(now.Add(wait)), conn.Conn().SetWriteDeadline(now.Add(wait+answerWithin)))
		if err != nil {
			return err
		}
		if h.ctx.Err() != nil { // the deadline of its end was overwritten
			return h.ctx.Err()
		}
		message, err := conn.ReceiveMessage(context.Background())
		var timeout net.Error
		switch {
		case err == nil:
			asked = false
			if n, ok := message.(*pgproto3.NotificationResponse); ok {
				h.ring(n.Payload)
			}
		case !errors.As(err, &timeout) || !timeout.Timeout() || h.ctx.Err() != nil:
			return err
		case asked:
			return errSilent
		default:
			asked = true
			conn.Frontend().SendSync(&pgproto3.Sync{})
			if err := conn.Frontend().Flush(); err != nil {
				return err
			}
		}
	}
}
