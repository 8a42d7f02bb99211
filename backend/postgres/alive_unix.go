//go:build unix && !aix

package postgres

import (
	"net"
	"syscall"
)

// alive reports whether an idle connection still is one. A server that ended
// has closed its end or said so before, and both can be seen without asking.
// Without this look a statement would be sent into a connection that is dead,
// and its outcome would be unknown.
func alive(conn net.Conn) bool {
	if wrapped, ok := conn.(interface{ NetConn() net.Conn }); ok { // TLS
		conn = wrapped.NetConn()
	}
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return true
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return false
	}
	// Not with raw.Read, which would wait: pgx may have left a reader of its own
	// on the connection.
	silent := false
	err = raw.Control(func(fd uintptr) {
		_, _, err := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		silent = err == syscall.EAGAIN || err == syscall.EWOULDBLOCK || err == syscall.EINTR
	})
	return err == nil && silent
}
