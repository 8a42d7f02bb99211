package cluster

import (
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"
)

// dialTimeout bounds how long a proxy tries to reach a server of this host.
const dialTimeout = 5 * time.Second

// A port is free for sure a moment after it was closed: when this process
// starts another, the new one has copies of all that is open until it runs its
// own program, a listener that was closed meanwhile included.
const (
	freedWithin = 2 * time.Second
	freedCheck  = time.Millisecond
)

// listen accepts connections, if the proxy does not already. The lock is held.
func (p *Proxy) listen() error {
	if p.listener != nil {
		return nil
	}
	listener, err := net.Listen("tcp", p.Addr())
	for deadline := time.Now().Add(freedWithin); errors.Is(err, syscall.EADDRINUSE) && time.Now().Before(deadline); {
		time.Sleep(freedCheck)
		listener, err = net.Listen("tcp", p.Addr())
	}
	if err != nil {
		return fmt.Errorf("a proxy to %s: %w", p.target, err)
	}
	tcp := listener.(*net.TCPListener) //nolint:forcetypeassert // The network is tcp.
	p.listener = tcp
	p.done.Go(func() { p.accept(tcp) })
	return nil
}

// refuse stops listening, so that the kernel refuses. The lock is held.
func (p *Proxy) refuse() {
	if p.listener == nil {
		return
	}
	p.listener.Close()
	p.listener = nil
}

func (p *Proxy) accept(listener *net.TCPListener) {
	for {
		client, err := listener.AcceptTCP()
		if err != nil {
			return // Closed by refuse: nothing else ends a listener on loopback.
		}
		p.admit(listener, client)
	}
}

// admit takes a new connection in, and dials the server for it in the
// background unless requests are dropped: its opening is then lost as well.
func (p *Proxy) admit(listener *net.TCPListener, client *net.TCPConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.listener != listener {
		abort(client)
		return
	}
	l := newLink(p, client)
	l.dark = p.flows[requests] == dropping || p.flows[replies] == dropping
	p.links[l] = struct{}{}
	p.stats.Accepted++
	p.stats.Connections++
	p.changed.Broadcast()
	l.pipes[requests].run(p)
	if p.flows[requests] == dropping {
		l.pipes[requests].lost = true
		return
	}
	p.done.Go(func() {
		dialer := net.Dialer{Timeout: dialTimeout}
		conn, err := dialer.DialContext(p.ctx, "tcp", p.target)
		p.mu.Lock()
		defer p.mu.Unlock()
		switch {
		case err != nil:
			l.unreachable()
		case l.closed:
			abort(conn.(*net.TCPConn)) //nolint:forcetypeassert // The network is tcp.
		default:
			l.connect(conn.(*net.TCPConn)) //nolint:forcetypeassert // The network is tcp.
		}
	})
}

// abort closes a connection with a reset: the peer's reads and writes fail.
func abort(conn *net.TCPConn) {
	// Errors mean that it is gone already, which is what is wanted.
	_ = conn.SetLinger(0)
	_ = conn.Close()
}
