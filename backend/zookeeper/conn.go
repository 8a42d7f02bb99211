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

// maxRequests bounds the requests under way on a connection, abandoned ones
// included.
const maxRequests = 64

// conn is one connection to a server, shared by the adapter and a zk client of
// the connection's own. When the connection is lost the client is closed, so
// nothing that was asked on one connection is ever sent on another.
//
// Commits and identities go through the client. All reads, watches and barriers
// are frames of the adapter's own (see exchange).
type conn struct {
	d       *Driver
	server  string
	session session
	began   time.Time // when the handshake did
	modern  bool      // the server knows the operations of 3.6
	net     *greetedConn
	client  *zk.Conn
	host    *oneServer
	events  <-chan zk.Event
	written chan struct{} // closed when the adapter writes no more frames

	slots     chan struct{}
	exchanges exchanges
	admitted  chan struct{} // closed when it is known which generation the connection belongs to
	acks      ackLog
	trees     treeTable  // watches on a modern server
	watches   watchTable // watches on an old one
}

// errConnLost is why a request was not sent, or not answered.
var errConnLost = errors.New("the connection was lost")

// openConn connects to a server, with the session s, or with a new one if s has
// no id. With probe set it first asks the server whether it knows the operations
// of 3.6, unless that is known. An old server then closes the connection and
// keeps the session.
func (d *Driver) openConn(ctx context.Context, server string, s session, ask time.Duration, probe bool) (*conn, error) {
	for {
		c, err := d.greetedConn(ctx, server, s, ask)
		if err != nil {
			return nil, fmt.Errorf("connecting to %s: %w", server, err)
		}
		err = c.identify(ctx)
		if err == nil && probe {
			err = c.probe(ctx)
		}
		if err == nil {
			return c, nil
		}
		c.discard(err)
		if !errors.Is(err, errOldServer) {
			return nil, fmt.Errorf("connecting to %s: %w", server, err)
		}
		s = c.session
	}
}

// greetedConn dials and makes the handshakes.
func (d *Driver) greetedConn(ctx context.Context, server string, s session, ask time.Duration) (*conn, error) {
	plain, raw, err := d.connect(ctx, server)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { hangUp(raw) })
	began := time.Now()
	s, reply, err := greet(plain, s, ask)
	if !stop() {
		err = context.Cause(ctx) // whatever came of it, the connection is closed
	}
	if err != nil {
		hangUp(raw)
		return nil, err
	}
	c := &conn{
		d: d, server: server, session: s, began: began, net: newGreetedConn(plain, raw, reply, s.numbers),
		host: &oneServer{address: server, idle: make(chan struct{})}, written: make(chan struct{}),
		slots: make(chan struct{}, maxRequests), admitted: make(chan struct{}),
	}
	c.acks.tick = d.opts.Tick
	c.exchanges.init()
	c.trees.init(c)
	c.watches.init()
	c.net.answered = c.answered
	if c.client, c.events, err = newClient(c.host, s.timeout, c.net, c.event); err != nil {
		hangUp(raw)
		return nil, fmt.Errorf("%w: %w", driver.ErrInvalid, err)
	}
	go func() {
		defer close(c.written)
		c.write()
	}()
	return c, nil
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

// quiet is the zk client's logger. The driver returns the client's errors.
type quiet struct{}

func (quiet) Printf(string, ...any) {}

// oneServer lets a zk client connect once. After that the client waits until it
// is closed.
type oneServer struct {
	address string
	asked   int
	idle    chan struct{} // closed when it has lost the connection
}

func (*oneServer) Init([]string) error { return nil }
func (*oneServer) Len() int            { return 1 }
func (*oneServer) Connected()          {}

// Next tells the client, from the second call on, that all servers were tried.
// The client then refuses what it has not sent, and pauses.
func (o *oneServer) Next() (address string, again bool) {
	if o.asked++; o.asked == 2 {
		close(o.idle)
	}
	return o.address, o.asked > 1
}

// newClient returns a zk client on a connection.
func newClient(server *oneServer, timeout time.Duration, conn *greetedConn, event func(zk.Event)) (*zk.Conn, <-chan zk.Event, error) {
	first := true
	dial := func(string, string, time.Duration) (net.Conn, error) {
		if !first {
			return nil, errConnLost
		}
		first = false
		return conn, nil
	}
	return zk.Connect([]string{server.address}, timeout, zk.WithDialer(dial), zk.WithHostProvider(server),
		zk.WithLogger(quiet{}), zk.WithLogInfo(false), zk.WithEventCallback(event))
}

// event is called by the zk client for each event, before the next frame is
// looked at.
func (c *conn) event(e zk.Event) {
	if e.Path == "" {
		return // of the client's own state
	}
	c.trees.event(e)
	c.watches.event(e)
}

// identify presents Options.Auth.
func (c *conn) identify(ctx context.Context) error {
	for _, a := range c.d.opts.Auth {
		_, _, err := ask(ctx, c, func(client *zk.Conn) (struct{}, error) { return struct{}{}, client.AddAuth(a.Scheme, a.Data) })
		if err != nil {
			return fmt.Errorf("identifying by %s: %w", a.Scheme, classify(err, false))
		}
	}
	return nil
}

var errOldServer = errors.New("the server is older than ZooKeeper 3.6")

// probe finds out whether the server knows the operations of 3.6, unless that
// is known.
func (c *conn) probe(ctx context.Context) error {
	modern, known := c.d.servers.is(c.server)
	if known {
		c.modern = modern
		return nil
	}
	replies, err := c.exchange(ctx, dataRequest([]string{"/"}))
	switch {
	case err == nil && replies[0].code == 0:
		c.modern = true
		c.d.servers.new(c.server)
		return nil
	case err == nil && replies[0].code == codeUnimplemented:
		return errOldServer // inspect has taken note
	case err == nil:
		return classify(replies[0].failure(), false)
	case ctx.Err() == nil && errors.Is(err, errConnLost):
		c.d.servers.old(c.server, brokenFor)
		return fmt.Errorf("%w: %w", errOldServer, err)
	}
	return err
}

// discard closes a connection that nobody uses, and lets its client end on a
// goroutine of its own. The driver counts the caller as running.
func (c *conn) discard(why error) {
	c.net.kill(why)
	c.d.running.GoOn(c.finish)
}

// finish ends the zk client of a closed connection. Its Close waits up to a second
// for the answer to a last request, and gets one only while the client pauses.
func (c *conn) finish() {
	<-c.written
	<-c.host.idle
	c.client.Close()
	for range c.events {
		continue // it is closed once the client's goroutines have ended
	}
}

// run observes the connection until it is closed, and then ends the client. It
// touches the server if nothing was answered for every. It closes a connection on
// which a touch is not answered within within.
func (c *conn) run(every, within time.Duration) {
	stop := context.AfterFunc(c.d.life, func() { c.net.kill(driver.ErrClosed) })
	defer stop()
	due := time.NewTimer(every)
	defer due.Stop()
	for c.net.alive() {
		select {
		case <-c.net.down:
		case <-due.C:
			quiet := time.Since(c.acks.newest())
			if quiet >= every {
				c.touch(within)
				quiet = 0
			}
			due.Reset(every - quiet)
		}
	}
	c.finish()
}

func (c *conn) touch(within time.Duration) {
	ctx, cancel := context.WithTimeout(c.d.life, within)
	defer cancel()
	began := time.Now()
	replies, err := c.exchange(ctx, pathRequest(opExists, "/", false))
	if err == nil {
		err = replies[0].failure()
	}
	if err != nil {
		c.net.kill(fmt.Errorf("no answer within %v: %w", within, err))
		return
	}
	c.acks.add(began)
}

// ask makes one request through the client, and waits for the answer until ctx
// ends or the connection is lost. sent is false if the request certainly did not
// leave. The client's calls have no contexts. A call that was abandoned waits on
// its goroutine until it is answered or the connection is lost, and holds one of
// the connection's slots until then.
func ask[T any](ctx context.Context, c *conn, call func(*zk.Conn) (T, error)) (answer T, sent bool, _ error) {
	select {
	case <-ctx.Done():
		return answer, false, ctx.Err()
	case <-c.net.down:
		return answer, false, errConnLost
	case c.slots <- struct{}{}:
	}
	type outcome struct {
		answer T
		err    error
	}
	done := make(chan outcome, 1)
	go func() {
		defer func() { <-c.slots }()
		answer, err := call(c.client)
		if errors.Is(err, zk.ErrSessionExpired) || errors.Is(err, zk.ErrSessionMoved) {
			// The session has ended, or another connection has taken it over:
			// a server may have served an abandoned attempt late.
			c.net.kill(err)
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

// quorum is a request that the server answers when a quorum has agreed to a
// commit of nothing, and the server has applied everything before it. Sync is
// not enough: a deposed leader that does not know it yet answers it alone.
//
// The ack log records what the answer proves, even if nobody waits any more.
func (c *conn) quorum() request {
	began := time.Now()
	credited, ok := c.acks.credit(began)
	if !ok {
		credited = c.began
	}
	r := barrierRequest()
	r.answered = func(answer *reply) {
		if answer.agreed() == nil {
			c.acks.add(began)
			c.acks.prove(credited)
		}
	}
	return r
}

// agreed is what the answer to a quorum request says.
func agreed(r *reply) error {
	if err := r.agreed(); err != nil {
		return fmt.Errorf("asking for a quorum: %w", err)
	}
	return nil
}

// barrier makes a quorum request, and waits for the answer.
func (c *conn) barrier(ctx context.Context) error {
	replies, err := c.exchange(ctx, c.quorum())
	if err != nil {
		return fmt.Errorf("asking for a quorum: %w", err)
	}
	return agreed(&replies[0])
}
