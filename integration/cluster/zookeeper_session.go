package cluster

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
)

// EndZooKeeperSession closes a session of somebody else's through a server. To
// its keys and to its owner that is the same as its timeout. The owner, which
// loses its connection to us, may take the session back before it is closed:
// then it is tried again.
func EndZooKeeperSession(ctx context.Context, n *Node, id int64) error {
	var last error
	tried := false // to close it
	for range 5 {
		stands, err := closeZooKeeperSession(ctx, n, id)
		switch {
		case err == nil && (stands || tried):
			return nil
		case err == nil:
			return fmt.Errorf("session %#x is over already", id)
		}
		last, tried = err, tried || stands
	}
	return last
}

// closeZooKeeperSession takes a session over and closes it. It reports whether
// the session stood when that began; if so, an error may have come after it was
// closed.
func closeZooKeeperSession(ctx context.Context, n *Node, id int64) (stands bool, err error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", n.Addr())
	if err != nil {
		return false, fmt.Errorf("asking %s to end a session: %w", n.name, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	password := zooPassword(id)
	request := binary.BigEndian.AppendUint32(nil, 0)       // protocol version
	request = binary.BigEndian.AppendUint64(request, 0)    // last zxid seen
	request = binary.BigEndian.AppendUint32(request, 4000) // timeout, ms
	request = binary.BigEndian.AppendUint64(request, uint64(id))
	request = binary.BigEndian.AppendUint32(request, uint32(len(password)))
	reply, err := zooCall(conn, append(request, password...))
	if err != nil {
		return false, fmt.Errorf("taking over session %#x: %w", id, err)
	}
	if len(reply) < 16 || int64(binary.BigEndian.Uint64(reply[8:])) != id {
		return false, nil
	}
	closing := binary.BigEndian.AppendUint32(nil, 1<<31-1)        // a number that the owner does not come to
	closing = binary.BigEndian.AppendUint32(closing, ^uint32(10)) // type -11
	if _, err := zooCall(conn, closing); err != nil {
		return true, fmt.Errorf("closing session %#x: %w", id, err)
	}
	return true, nil
}

// zooPassword is the password that the servers give to a session: the first
// bytes of a java.util.Random that they seed with the session's number and a
// constant of theirs (SessionTrackerImpl and ZooKeeperServer, superSecret).
func zooPassword(id int64) []byte {
	const superSecret, multiplier, mask = 0xB3415C00, 0x5DEECE66D, 1<<48 - 1
	state := (uint64(id) ^ superSecret ^ multiplier) & mask
	var password []byte
	for range 4 {
		state = (state*multiplier + 0xB) & mask
		password = binary.LittleEndian.AppendUint32(password, uint32(state>>16))
	}
	return password
}

// zooCall sends a request in a frame and returns what is in the reply's.
func zooCall(conn net.Conn, request []byte) ([]byte, error) {
	frame := binary.BigEndian.AppendUint32(nil, uint32(len(request)))
	if _, err := conn.Write(append(frame, request...)); err != nil {
		return nil, err
	}
	var size [4]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, err
	}
	reply := make([]byte, binary.BigEndian.Uint32(size[:]))
	_, err := io.ReadFull(conn, reply)
	return reply, err
}
