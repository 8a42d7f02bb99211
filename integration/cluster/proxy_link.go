package cluster

import (
	"io"
	"net"
	"sync"
)

// link is one client's connection and the proxy's own to the server. All its
// fields are guarded by the proxy's lock.
type link struct {
	proxy  *Proxy
	conns  [2]*net.TCPConn // The source of requests, the client, and of replies, the server.
	pipes  [2]*pipe
	closed bool
	lost   bool // One side is gone, and the other cannot know while the network is dark.
	dark   bool // It was there while something was dropped.
	tap    io.Writer
}

func newLink(p *Proxy, client *net.TCPConn) *link {
	l := &link{proxy: p}
	l.conns[requests] = client
	if p.tap != nil {
		l.tap = p.tap()
	}
	for d := range l.pipes {
		l.pipes[d] = &pipe{link: l, direction: direction(d), changed: sync.NewCond(&p.mu)}
	}
	return l
}

// connect goes on with a connection to the server.
func (l *link) connect(server *net.TCPConn) {
	l.conns[replies] = server
	l.pipes[replies].run(l.proxy)
	l.wake()
}

// unreachable tells the client that the server refused, unless nothing would
// reach it.
func (l *link) unreachable() {
	if l.proxy.flows[replies] == dropping {
		l.lost = true
		return
	}
	l.reset()
}

// reset ends both connections with a reset.
func (l *link) reset() {
	if l.closed {
		return
	}
	l.closed = true
	for _, conn := range l.conns {
		if conn != nil {
			abort(conn)
		}
	}
	for _, pipe := range l.pipes {
		pipe.clear(false)
	}
	delete(l.proxy.links, l)
	l.proxy.stats.Connections--
	l.proxy.changed.Broadcast()
	l.wake()
}

// end closes both connections in order, once each side has ended its own.
func (l *link) end() {
	for _, pipe := range l.pipes {
		if !pipe.ended && !pipe.dead {
			return
		}
	}
	if l.closed {
		return
	}
	l.closed = true
	for _, conn := range l.conns {
		_ = conn.Close() // Both directions were shut down already.
	}
	delete(l.proxy.links, l)
	l.proxy.stats.Connections--
	l.proxy.changed.Broadcast()
	l.wake()
}

func (l *link) wake() {
	for _, pipe := range l.pipes {
		pipe.changed.Broadcast()
	}
}
