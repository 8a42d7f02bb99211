package zookeeper

import (
	"net"
	"sync"
)

// socket is a connection on which the handshake has been made. To the zk
// client it looks like a fresh one: it swallows the client's own connect
// request and answers with the reply that the server gave.
type socket struct {
	net.Conn
	raw net.Conn // what Conn runs over, if that is TLS

	greeted bool   // the client's request was swallowed
	reply   []byte // what the client has not read of the answer

	once sync.Once
	down chan struct{} // closed with the connection
	mu   sync.Mutex
	why  error
}

func newSocket(conn, raw net.Conn, reply []byte) *socket {
	return &socket{Conn: conn, raw: raw, reply: reply, down: make(chan struct{})}
}

// Write is called by one goroutine of the client at a time.
func (s *socket) Write(p []byte) (int, error) {
	if !s.greeted {
		s.greeted = true
		return len(p), nil
	}
	return s.Conn.Write(p)
}

// Read is called by one goroutine of the client at a time.
func (s *socket) Read(p []byte) (int, error) {
	if len(s.reply) > 0 {
		n := copy(p, s.reply)
		s.reply = s.reply[n:]
		return n, nil
	}
	return s.Conn.Read(p)
}

// Close is also called by the client when it finds the connection broken.
func (s *socket) Close() error {
	s.kill(net.ErrClosed)
	return nil
}

// kill closes the connection at once. The session stays.
func (s *socket) kill(why error) {
	s.once.Do(func() {
		s.mu.Lock()
		s.why = why
		s.mu.Unlock()
		// Not through TLS, which would say goodbye first and may wait for it.
		hangUp(s.raw)
		close(s.down)
	})
}

func (s *socket) cause() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.why
}

func (s *socket) alive() bool {
	select {
	case <-s.down:
		return false
	default:
		return true
	}
}

// hangUp closes a connection; whatever it says, it is closed.
func hangUp(conn net.Conn) { _ = conn.Close() }
