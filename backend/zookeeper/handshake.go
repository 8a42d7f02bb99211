package zookeeper

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"time"
)

// session is a ZooKeeper session as the server described it.
type session struct {
	id       int64
	password []byte
	timeout  time.Duration // as the server granted it
	numbers  *numbers      // of its requests
}

// errExpired is a server's answer to a connection with a session that has ended.
var errExpired = errors.New("the server does not know the session any more")

// maxGreeting bounds the reply to a connect request, which has 37 bytes.
const maxGreeting = 1 << 10

// greet makes the handshake that opens every connection: it asks for the
// session s to be taken over, or for a new one if s has no id. It returns the
// session and the server's reply as it came.
//
// The adapter does this itself and shows the reply to the zk client (see
// greetedConn). The client does not reveal the timeout that the server granted,
// waits for a silent server for 6.7 times the timeout it asked for, and takes a
// new session if the old one has expired.
//
// The highest zxid seen is always given as 0. A server that lags behind it would
// close the connection without an answer, and so would every server of an
// ensemble that was restored from a backup. Nothing here relies on it: reads are
// behind a barrier, and versions have a generation (see generations).
func greet(conn net.Conn, s session, ask time.Duration) (session, []byte, error) {
	password := s.password
	if s.id == 0 {
		password = make([]byte, 16)
	}
	request := make([]byte, 4, 64)
	request = binary.BigEndian.AppendUint32(request, 0) // version of the protocol
	request = binary.BigEndian.AppendUint64(request, 0) // highest zxid seen
	request = binary.BigEndian.AppendUint32(request, milliseconds(ask))
	request = binary.BigEndian.AppendUint64(request, uint64(s.id))
	request = binary.BigEndian.AppendUint32(request, uint32(len(password)))
	request = append(request, password...)
	request = append(request, 0) // not content with a server that only reads
	reply, err := roundTrip(conn, request)
	if err != nil {
		return session{}, nil, err
	}
	got, err := parseGreeting(reply[4:])
	switch {
	case err != nil:
		return session{}, nil, err
	case got.id == 0 && s.id != 0:
		return session{}, nil, errExpired
	case got.id == 0 || got.timeout <= 0:
		return session{}, nil, errors.New("the server granted no session")
	case s.id != 0 && got.id != s.id:
		return session{}, nil, fmt.Errorf("the server answered with another session, %016x", uint64(got.id))
	}
	if got.numbers = s.numbers; got.numbers == nil {
		got.numbers = newNumbers()
	}
	return got, reply, nil
}

// milliseconds rounds up, so that a server grants no less than was asked for.
func milliseconds(d time.Duration) uint32 {
	return uint32(min((d+time.Millisecond-1)/time.Millisecond, math.MaxInt32))
}

// roundTrip sends a request, whose first four bytes are left for its length,
// and reads a short reply.
func roundTrip(conn net.Conn, request []byte) ([]byte, error) {
	binary.BigEndian.PutUint32(request, uint32(len(request)-4))
	if _, err := conn.Write(request); err != nil {
		return nil, err
	}
	reply := make([]byte, 4, 64)
	if _, err := io.ReadFull(conn, reply); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(reply)
	if n > maxGreeting {
		return nil, fmt.Errorf("a reply of %d bytes: not a ZooKeeper server", n)
	}
	reply = append(reply, make([]byte, n)...)
	_, err := io.ReadFull(conn, reply[4:])
	return reply, err
}

func parseGreeting(b []byte) (session, error) {
	const fixed = 4 + 4 + 8 + 4
	if len(b) < fixed {
		return session{}, fmt.Errorf("a greeting of %d bytes: not a ZooKeeper server", len(b))
	}
	s := session{
		timeout: time.Duration(int32(binary.BigEndian.Uint32(b[4:]))) * time.Millisecond,
		id:      int64(binary.BigEndian.Uint64(b[8:])),
	}
	n := int(int32(binary.BigEndian.Uint32(b[16:])))
	if n < 0 || n > len(b)-fixed {
		return session{}, fmt.Errorf("a greeting with a password of %d bytes: not a ZooKeeper server", n)
	}
	s.password = append([]byte(nil), b[fixed:fixed+n]...)
	return s, nil
}

// opCloseSession ends the session of the connection it is sent on.
const opCloseSession = -11

// xidAuth is the request number of every opAuth.
const xidAuth = -4

// leaveSession ends the session of a connection that was greeted, and returns
// when the server says that it has. It presents the identities first: a server
// that wants one (enforce.auth.enabled) serves nobody before that. The number of the
// request must be one that no other request of the session has had.
func leaveSession(conn net.Conn, identities []Auth, number int32) error {
	for _, a := range identities {
		body := appendString(appendInt(nil, 0), a.Scheme)
		body = append(binary.BigEndian.AppendUint32(body, uint32(len(a.Data))), a.Data...)
		if err := askAlone(conn, xidAuth, opAuth, body); err != nil {
			return fmt.Errorf("identifying by %s: %w", a.Scheme, err)
		}
	}
	if err := askAlone(conn, number, opCloseSession, nil); err != nil {
		return fmt.Errorf("ending the session: %w", err)
	}
	return nil
}

// askAlone sends a request on a connection on which nothing else is under way, and
// returns why the server refused it.
func askAlone(conn net.Conn, xid, op int32, body []byte) error {
	request := appendInt(appendInt(make([]byte, 4, 12+len(body)), xid), op)
	reply, err := roundTrip(conn, append(request, body...))
	if err != nil {
		return err
	}
	if len(reply) < 4+headerBytes || int32(binary.BigEndian.Uint32(reply[4:])) != xid {
		return errors.New("an answer to something else")
	}
	return codeError(int32(binary.BigEndian.Uint32(reply[16:])))
}
