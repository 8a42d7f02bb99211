package zookeeper

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/quorate/quorate/backend/driver"
)

// maxRequests bounds the requests under way on a link, and so the goroutines
// that wait for answers which nobody waits for any more.
const maxRequests = 64

// link is one connection, with a zk client of its own that carries requests
// over it and nothing else: when the connection is lost the client is closed.
// So what was asked on one connection is never sent on another.
type link struct {
	d       *Driver
	session session
	began   time.Time // when the handshake did
	socket  *socket
	client  *zk.Conn
	servers *oneServer
	events  <-chan zk.Event

	slots    chan struct{}
	admitted chan struct{} // closed when history knows where the link belongs
	ledger   ledger
	watches  registry
}

// errLinkDown is why a request was not sent.
var errLinkDown = errors.New("the connection was lost")

// openLink connects to a server, with the session s, or with a new one if s
// has no id.
func (d *Driver) openLink(ctx context.Context, server string, s session, ask time.Duration) (*link, error) {
	conn, raw, err := d.connect(ctx, server)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { hangUp(raw) })
	began := time.Now()
	s, reply, err := greet(conn, s, ask)
	if !stop() {
		err = context.Cause(ctx) // whatever came of it, the connection is closed
	}
	if err != nil {
		hangUp(raw)
		return nil, fmt.Errorf("connecting to %s: %w", server, err)
	}
	l := &link{
		d: d, session: s, began: began, socket: newSocket(conn, raw, reply),
		servers: &oneServer{address: server, idle: make(chan struct{})},
		slots:   make(chan struct{}, maxRequests), admitted: make(chan struct{}),
	}
	l.watches.init()
	if l.client, l.events, err = newClient(l.servers, s.timeout, l.socket, l.watches.event); err != nil {
		hangUp(raw)
		return nil, fmt.Errorf("%w: %w", driver.ErrInvalid, err)
	}
	if err := l.identify(ctx); err != nil {
		l.discard(err)
		return nil, fmt.Errorf("connecting to %s: %w", server, err)
	}
	return l, nil
}

// connect dials, and makes the TLS handshake if there is to be one.
func (d *Driver) connect(ctx context.Context, server string) (conn, raw net.Conn, _ error) {
	raw, err := d.opts.Dial(ctx, "tcp", server)
	if err != nil {
		return nil, nil, err
	}
	if d.opts.TLS == nil {
		return raw, raw, nil
	}
	config := d.opts.TLS
	if config.ServerName == "" {
		config = config.Clone()
		config.ServerName, _, _ = net.SplitHostPort(server)
	}
	secure := tls.Client(raw, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		hangUp(raw)
		return nil, nil, fmt.Errorf("connecting to %s with TLS: %w", server, err)
	}
	return secure, raw, nil
}

// quiet is the zk client's logger: what it has to say the driver returns.
type quiet struct{}

func (quiet) Printf(string, ...any) {}

// oneServer lets a zk client connect once, and wait after that until it is
// closed.
type oneServer struct {
	address string
	asked   int
	idle    chan struct{} // closed when it has lost the connection
}

func (*oneServer) Init([]string) error { return nil }
func (*oneServer) Len() int            { return 1 }
func (*oneServer) Connected()          {}

// Next tells the client, from its second call on, that all servers have been
// tried: it then refuses what it has not sent, and pauses.
func (o *oneServer) Next() (address string, again bool) {
	if o.asked++; o.asked == 2 {
		close(o.idle)
	}
	return o.address, o.asked > 1
}

// newClient returns a zk client on a connection.
func newClient(server *oneServer, timeout time.Duration, conn *socket, event func(zk.Event)) (*zk.Conn, <-chan zk.Event, error) {
	first := true
	dial := func(string, string, time.Duration) (net.Conn, error) {
		if !first {
			return nil, errLinkDown
		}
		first = false
		return conn, nil
	}
	return zk.Connect([]string{server.address}, timeout, zk.WithDialer(dial), zk.WithHostProvider(server),
		zk.WithLogger(quiet{}), zk.WithLogInfo(false), zk.WithEventCallback(event))
}

// identify presents Options.Auth.
func (l *link) identify(ctx context.Context) error {
	for _, a := range l.d.opts.Auth {
		_, _, err := ask(ctx, l, func(c *zk.Conn) (struct{}, error) { return struct{}{}, c.AddAuth(a.Scheme, a.Data) })
		if err != nil {
			return fmt.Errorf("identifying by %s: %w", a.Scheme, classify(err, false))
		}
	}
	return nil
}

// discard closes a link that nobody uses, and lets its client end on a
// goroutine of its own. The driver counts the caller as running.
func (l *link) discard(why error) {
	l.socket.kill(why)
	l.d.running.GoOn(l.finish)
}

// finish ends the zk client, whose connection is closed. Close wants an answer
// to a last request, for a second at most, and the client gives it one only
// while it pauses.
func (l *link) finish() {
	<-l.servers.idle
	l.client.Close()
	for range l.events {
		continue // it is closed once the client's goroutines have ended
	}
}

// run keeps the link under observation until its connection is closed, and
// then ends the client. It touches the server when nothing was answered for
// every, and gives up a connection on which that is not answered within a
// while.
func (l *link) run(every, within time.Duration) {
	stop := context.AfterFunc(l.d.life, func() { l.socket.kill(driver.ErrClosed) })
	defer stop()
	due := time.NewTimer(every)
	defer due.Stop()
	for l.socket.alive() {
		select {
		case <-l.socket.down:
		case <-due.C:
			quiet := time.Since(l.ledger.newest())
			if quiet >= every {
				l.touch(within)
				quiet = 0
			}
			due.Reset(every - quiet)
		}
	}
	l.finish()
}

func (l *link) touch(within time.Duration) {
	ctx, cancel := context.WithTimeout(l.d.life, within)
	defer cancel()
	began := time.Now()
	_, _, err := ask(ctx, l, func(c *zk.Conn) (bool, error) {
		there, _, err := c.Exists("/")
		return there, err
	})
	if err != nil {
		l.socket.kill(fmt.Errorf("no answer within %v: %w", within, err))
		return
	}
	l.ledger.add(began)
}

// ask makes one request on a link and waits for the answer until ctx ends or
// the connection is lost. sent is false if it certainly did not leave. The
// client's calls know no contexts: one whose caller has left goes on waiting
// on its goroutine until it is answered or the connection is given up, and
// holds one of the link's slots until then.
func ask[T any](ctx context.Context, l *link, call func(*zk.Conn) (T, error)) (answer T, sent bool, _ error) {
	select {
	case <-ctx.Done():
		return answer, false, ctx.Err()
	case <-l.socket.down:
		return answer, false, errLinkDown
	case l.slots <- struct{}{}:
	}
	type outcome struct {
		answer T
		err    error
	}
	done := make(chan outcome, 1)
	go func() {
		defer func() { <-l.slots }()
		answer, err := call(l.client)
		if errors.Is(err, zk.ErrSessionExpired) || errors.Is(err, zk.ErrSessionMoved) {
			// It has ended, or another connection has it: an attempt of ours
			// that was given up may have been served late.
			l.socket.kill(err)
		}
		done <- outcome{answer, err}
	}()
	select {
	case o := <-done:
		return o.answer, true, o.err
	case <-ctx.Done():
		return answer, true, ctx.Err()
	}
}

// barrier returns when the server has had a commit of nothing agreed upon by a
// quorum, and has applied all that came before it. A check of version -1 asks
// only that the node is there; the root always is. Sync would not do: a leader
// that was deposed and does not know it yet answers it alone.
//
// What it proves is noted in the ledger, also when nobody waits any more.
func (l *link) barrier(ctx context.Context) error {
	_, _, err := ask(ctx, l, func(c *zk.Conn) (struct{}, error) {
		began := time.Now()
		credited, ok := l.ledger.credit(began, l.d.opts.Tick)
		if !ok {
			credited = l.began
		}
		_, err := c.Multi(&zk.CheckVersionRequest{Path: "/", Version: -1})
		if err == nil {
			l.ledger.add(began)
			l.ledger.prove(credited)
		}
		return struct{}{}, err
	})
	if err != nil {
		return fmt.Errorf("asking for a quorum: %w", err)
	}
	return nil
}
