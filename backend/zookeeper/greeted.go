package zookeeper

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
)

// maxFrame bounds an answer. The connection does not read a larger one.
const maxFrame = 32 << 20

var (
	errFrameTooLarge = fmt.Errorf("an answer of more than %d bytes", maxFrame)
	errNumbersUsedUp = errors.New("the client's request numbers are used up")
)

// greetedConn is a connection on which the handshake has been made. The zk
// client and the adapter share it:
//
//   - To the client it looks like a fresh one: it swallows the client's own
//     connect request and answers with the reply that the server gave.
//   - Both write whole frames to it, one at a time.
//   - It adds to the client's request numbers, which begin at 1 on each
//     connection, the last number of the session's clients before (see numbers).
//   - It hands the answers to the adapter's own requests to answered, and all
//     other frames to the client. Both happens on the client's reading
//     goroutine, in the order of the stream: the client has called back for an
//     event before the next frame is looked at.
type greetedConn struct {
	net.Conn
	raw      net.Conn // what Conn runs over, if that is TLS
	in       *bufio.Reader
	answered func(number int32, r reply)
	numbers  *numbers
	offset   int32 // what is added to the client's numbers

	writing sync.Mutex // held while a frame is written
	greeted bool       // the client's request was swallowed

	rest []byte // what the client has not read of the beginning of a frame
	left int    // and how many bytes of it follow on the connection

	once sync.Once
	down chan struct{} // closed with the connection
	mu   sync.Mutex    // guards why
	why  error
}

func newGreetedConn(conn, raw net.Conn, reply []byte, numbers *numbers) *greetedConn {
	return &greetedConn{
		Conn: conn, raw: raw, in: bufio.NewReader(conn), numbers: numbers, offset: numbers.clients(),
		rest: reply, down: make(chan struct{}),
	}
}

// Write is called by the client with one frame each time.
func (g *greetedConn) Write(frame []byte) (int, error) {
	if !g.greeted {
		g.greeted = true
		return len(frame), nil
	}
	if len(frame) >= 8 {
		if number := int32(binary.BigEndian.Uint32(frame[4:])); number > 0 { // not a ping or an identity
			if !g.numbers.used(number + g.offset) {
				g.kill(errNumbersUsedUp)
				return 0, errNumbersUsedUp
			}
			frame = bytes.Clone(frame) // it stays the client's
			binary.BigEndian.PutUint32(frame[4:], uint32(number+g.offset))
		}
	}
	g.writing.Lock()
	defer g.writing.Unlock()
	return g.Conn.Write(frame)
}

// writeFrames writes the adapter's own frames.
func (g *greetedConn) writeFrames(frames []byte) error {
	g.writing.Lock()
	defer g.writing.Unlock()
	_, err := g.Conn.Write(frames)
	return err
}

// Read is called by one goroutine of the client at a time. It never returns
// bytes of two frames at once, so that the client is done with one before the
// next is looked at.
func (g *greetedConn) Read(p []byte) (int, error) {
	for len(g.rest) == 0 && g.left == 0 {
		if err := g.next(); err != nil {
			return 0, err
		}
	}
	if len(g.rest) > 0 {
		n := copy(p, g.rest)
		g.rest = g.rest[n:]
		return n, nil
	}
	n, err := g.in.Read(p[:min(len(p), g.left)])
	g.left -= n
	return n, err
}

// next begins with the next frame, and deals with it if it is the adapter's.
func (g *greetedConn) next() error {
	head := make([]byte, 4+headerBytes)
	if _, err := io.ReadFull(g.in, head); err != nil {
		return err
	}
	size := binary.BigEndian.Uint32(head)
	number := int32(binary.BigEndian.Uint32(head[4:]))
	switch {
	case size < headerBytes:
		return g.refuse(fmt.Errorf("%w: it has %d bytes", errMalformed, size))
	case size > maxFrame && number >= firstNumber:
		g.answered(number, reply{err: errFrameTooLarge})
		return g.refuse(errFrameTooLarge)
	case size > maxFrame:
		return g.refuse(errFrameTooLarge)
	case number > 0 && number <= g.offset:
		return g.refuse(fmt.Errorf("%w: its number, %d, is from another connection", errMalformed, number))
	case number < firstNumber:
		if number > 0 {
			binary.BigEndian.PutUint32(head[4:], uint32(number-g.offset))
		}
		g.rest, g.left = head, int(size)-headerBytes
		return nil
	}
	body := make([]byte, size-headerBytes)
	if _, err := io.ReadFull(g.in, body); err != nil {
		return err
	}
	g.answered(number, reply{code: int32(binary.BigEndian.Uint32(head[16:])), body: body})
	return nil
}

func (g *greetedConn) refuse(why error) error {
	g.kill(why)
	return why
}

// Close is also called by the client when it finds the connection broken.
func (g *greetedConn) Close() error {
	g.kill(net.ErrClosed)
	return nil
}

// kill closes the connection at once. The session stays.
func (g *greetedConn) kill(why error) {
	g.once.Do(func() {
		g.mu.Lock()
		g.why = why
		g.mu.Unlock()
		// Not through TLS, which would say goodbye first and may wait for it.
		hangUp(g.raw)
		close(g.down)
	})
}

func (g *greetedConn) cause() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.why
}

func (g *greetedConn) alive() bool {
	select {
	case <-g.down:
		return false
	default:
		return true
	}
}

// hangUp closes a connection; whatever it says, it is closed.
func hangUp(conn net.Conn) { _ = conn.Close() }
