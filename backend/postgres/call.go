package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// lateAnswer is how long an answer that nobody waits for may still take
	// before its statement is cancelled.
	lateAnswer = 300 * time.Millisecond
	// cancelTimeout bounds the request to cancel it, and the wait for its end.
	cancelTimeout = 2 * time.Second
)

// call runs one statement, which is one transaction and one round trip, on a
// connection of the pool. The statement is never prepared under a name, so it
// may go through PgBouncer in transaction mode.
func (d *Driver) call(ctx context.Context, sql string, params ...param) ([]row, error) {
	conn, err := d.acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnsent, err)
	}
	rows, state, err := exchange(ctx, conn.Conn().PgConn(), sql, params)
	if state == idle && deposed(err) {
		state = broken
	}
	switch state {
	case idle:
		conn.Release()
	case owing:
		d.abandon(conn)
	case broken:
		drop(conn.Conn())
		conn.Release()
	}
	return rows, err
}

// acquire takes a connection that is not known to be dead out of the pool. After
// a restart of the server all that are idle there are.
func (d *Driver) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		conn, err := d.pool.Acquire(ctx)
		if err != nil {
			return nil, err
		}
		if alive(conn.Conn().PgConn().Conn()) {
			return conn, nil
		}
		drop(conn.Conn())
		conn.Release()
	}
}

// drop closes a connection without waiting for the server.
func drop(conn *pgx.Conn) {
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	_ = conn.Close(gone)
}

// abandon keeps a connection until the server has ended the statement that
// nobody waits for any more, and returns it to the pool then. A statement that
// does not end soon is cancelled: it would hold a connection of the server's, and
// land late. If that does not end it either, the connection is closed.
//
// The connection is worth the wait. A new one costs the server a process, whose
// first statement takes many times as long as a later one. If each call that
// took too long cost one, an overloaded server would never recover.
func (d *Driver) abandon(conn *pgxpool.Conn) {
	end := func() {
		defer conn.Release()
		ctx, cancel := context.WithTimeout(d.life, cancelTimeout)
		defer cancel()
		if !d.ended(ctx, conn.Conn().PgConn()) {
			drop(conn.Conn())
		}
	}
	if !d.running.Go(end) {
		drop(conn.Conn())
		conn.Release()
	}
}

// ended waits for the end of a statement until ctx ends, and reports whether the
// connection can be used again.
func (d *Driver) ended(ctx context.Context, conn *pgconn.PgConn) bool {
	soon, cancel := context.WithTimeout(ctx, lateAnswer)
	defer cancel()
	_, state, err := receive(soon, conn)
	if state == owing {
		_ = conn.CancelRequest(ctx)
		_, state, err = receive(ctx, conn)
	}
	return state == idle && !deposed(err)
}

// deposed reports whether an answer is one that a server gives which is not the
// primary any more, or lost its standbys. The next connection may lead to the
// server that is primary now.
func deposed(err error) bool {
	refusal := refused(err)
	return refusal != nil && refusal.Code == codeReadOnly || errors.Is(err, errNotReplicated)
}

// state is what a connection is good for after a call.
type state int

const (
	broken state = iota // nothing
	owing               // the server has not ended its answer
	idle                // the next statement
)

// exchange sends a statement and reads all of the answer, until ctx ends.
func exchange(ctx context.Context, conn *pgconn.PgConn, sql string, params []param) ([]row, state, error) {
	parse := &pgproto3.Parse{Query: sql}
	bind := &pgproto3.Bind{ResultFormatCodes: []int16{pgtype.BinaryFormatCode}}
	for _, p := range params {
		parse.ParameterOIDs = append(parse.ParameterOIDs, p.oid)
		bind.ParameterFormatCodes = append(bind.ParameterFormatCodes, p.format)
		bind.Parameters = append(bind.Parameters, p.value)
	}
	out := conn.Frontend()
	out.SendParse(parse)
	out.SendBind(bind)
	out.SendExecute(&pgproto3.Execute{})
	out.SendSync(&pgproto3.Sync{})
	var unsent error
	interruptible(ctx, conn, func() { unsent = out.Flush() })
	if unsent != nil {
		return nil, broken, fmt.Errorf("sending the statement: %w", unsent)
	}
	return receive(ctx, conn)
}

// receive reads an answer to its end, until ctx ends. It speaks the protocol's
// own messages because a warning is part of the answer: the server reports so
// that a commit's wait for its standby was cancelled.
func receive(ctx context.Context, conn *pgconn.PgConn) (rows []row, left state, failed error) {
	interruptible(ctx, conn, func() {
		for left == broken {
			message, err := conn.ReceiveMessage(context.Background())
			if err != nil {
				if failed == nil {
					failed = fmt.Errorf("waiting for the answer: %w", err)
				}
				if !conn.IsClosed() { // ctx ended; what had come of a message is kept
					left = owing
				}
				rows = nil
				return
			}
			switch message := message.(type) {
			case *pgproto3.DataRow:
				rows = append(rows, copied(message))
			case *pgproto3.ErrorResponse:
				failed = pgconn.ErrorResponseToPgError(message)
			case *pgproto3.NoticeResponse:
				if message.Routine == "SyncRepWaitForLSN" {
					failed = fmt.Errorf("%w: %s", errNotReplicated, message.Message)
				}
			case *pgproto3.ReadyForQuery:
				left = idle
			}
		}
	})
	return rows, left, failed
}

// interruptible runs what reads from a connection or writes to it, and lets it
// fail with a timeout when ctx ends. The connection has no deadline afterwards.
func interruptible(ctx context.Context, conn *pgconn.PgConn, do func()) {
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(interrupted)
		_ = conn.Conn().SetDeadline(time.Unix(1, 0))
	})
	do()
	if !stop() {
		<-interrupted
		_ = conn.Conn().SetDeadline(time.Time{})
	}
}

// row is one row of an answer, in binary format. A column that is NULL is nil.
type row [][]byte

// copied takes a row out of the connection's buffer.
func copied(message *pgproto3.DataRow) row {
	r := make(row, len(message.Values))
	for i, v := range message.Values {
		if v != nil {
			r[i] = append([]byte{}, v...)
		}
	}
	return r
}

// number returns a column of type int4 or int8; NULL is 0.
func (r row) number(i int) int64 {
	switch v := r[i]; len(v) {
	case 4:
		return int64(int32(binary.BigEndian.Uint32(v)))
	case 8:
		return int64(binary.BigEndian.Uint64(v))
	default:
		return 0
	}
}

func (r row) text(i int) string { return string(r[i]) }

func (r row) truth(i int) bool { return len(r[i]) == 1 && r[i][0] == 1 }

// param is a parameter of a statement.
type param struct {
	oid    uint32
	format int16
	value  []byte
}

func textParam(s string) param { return param{pgtype.TextOID, pgtype.TextFormatCode, []byte(s)} }

func numberParam(n int64) param { return param{pgtype.Int8OID, pgtype.BinaryFormatCode, number(n)} }

// leaseParam is a lease's ID, NULL for none.
func leaseParam(id string) param {
	if id == "" {
		return param{pgtype.UUIDOID, pgtype.BinaryFormatCode, nil}
	}
	return param{pgtype.UUIDOID, pgtype.TextFormatCode, []byte(id)}
}

func textsParam(elements [][]byte) param { return array(pgtype.TextArrayOID, pgtype.TextOID, elements) }

func numbersParam(elements [][]byte) param {
	return array(pgtype.Int8ArrayOID, pgtype.Int8OID, elements)
}

func bytesParam(elements [][]byte) param {
	return array(pgtype.ByteaArrayOID, pgtype.ByteaOID, elements)
}

func truthsParam(elements [][]byte) param {
	return array(pgtype.BoolArrayOID, pgtype.BoolOID, elements)
}

// array encodes an array of one dimension without NULLs in binary format.
func array(oid, element uint32, elements [][]byte) param {
	size := 20
	for _, e := range elements {
		size += 4 + len(e)
	}
	header := []uint32{1, 0, element, uint32(len(elements)), 1} // dimensions, NULLs, type, length, first index
	if len(elements) == 0 {
		header = []uint32{0, 0, element}
	}
	value := make([]byte, 0, size)
	for _, h := range header {
		value = binary.BigEndian.AppendUint32(value, h)
	}
	for _, e := range elements {
		value = binary.BigEndian.AppendUint32(value, uint32(len(e)))
		value = append(value, e...)
	}
	return param{oid, pgtype.BinaryFormatCode, slices.Clip(value)}
}

func number(n int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }

func truth(b bool) []byte {
	if b {
		return []byte{1}
	}
	return []byte{0}
}
