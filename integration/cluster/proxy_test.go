package cluster

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const patience = 10 * time.Second

// echo is a server that answers each line with itself and remembers it.
type echo struct {
	listener net.Listener
	heard    chan string
}

func newEcho(t *testing.T) *echo {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &echo{listener: listener, heard: make(chan string, 100)}
	var done sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	done.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, conn)
			mu.Unlock()
			done.Go(func() { e.serve(conn) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		mu.Lock()
		for _, conn := range conns {
			conn.Close()
		}
		mu.Unlock()
		done.Wait()
	})
	return e
}

func (e *echo) serve(conn net.Conn) {
	defer conn.Close()
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		e.heard <- lines.Text()
		if _, err := io.WriteString(conn, lines.Text()+"\n"); err != nil {
			return
		}
	}
}

// hears fails unless the server's next request is this.
func (e *echo) hears(t *testing.T, want string) {
	t.Helper()
	select {
	case got := <-e.heard:
		if got != want {
			t.Fatalf("the server heard %q, not %q", got, want)
		}
	case <-time.After(patience):
		t.Fatalf("the server did not hear %q", want)
	}
}

// heardNothing fails if the server got a request; it asks only where none can
// be under way.
func (e *echo) heardNothing(t *testing.T) {
	t.Helper()
	select {
	case got := <-e.heard:
		t.Fatalf("the server heard %q", got)
	default:
	}
}

type client struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

func dial(t *testing.T, p *Proxy) *client {
	t.Helper()
	conn, err := net.DialTimeout("tcp", p.Addr(), patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &client{t: t, conn: conn, in: bufio.NewReader(conn)}
}

func (c *client) says(line string) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, line+"\n"); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) reads() (string, error) {
	if err := c.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		c.t.Fatal(err)
	}
	line, err := c.in.ReadString('\n')
	return strings.TrimSuffix(line, "\n"), err
}

func (c *client) hears(want string) {
	c.t.Helper()
	if got, err := c.reads(); err != nil || got != want {
		c.t.Fatalf("the client heard %q, %v, not %q", got, err, want)
	}
}

func (c *client) isReset() {
	c.t.Helper()
	if got, err := c.reads(); !errors.Is(err, syscall.ECONNRESET) {
		c.t.Fatalf("the client heard %q, %v, not a reset", got, err)
	}
}

func await(t *testing.T, p *Proxy, is func(Stats) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := p.Await(ctx, is); err != nil {
		t.Fatal(err)
	}
}

func newProxy(t *testing.T) (*Proxy, *echo) {
	e := newEcho(t)
	p, err := NewProxy(e.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p, e
}

// A process that is being started has for a moment a copy of every listener
// that was open when it began, also of one that is closed by now.
func TestProxyListensWhileProcessesStart(t *testing.T) {
	var done sync.WaitGroup
	defer done.Wait()
	for range 4 {
		done.Go(func() {
			for range 100 {
				if err := exec.Command("true").Run(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	e := newEcho(t)
	for range 500 {
		p, err := NewProxy(e.listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		p.Close()
	}
}

func TestProxyPassesAndCounts(t *testing.T) {
	p, e := newProxy(t)
	c := dial(t, p)
	c.says("one")
	e.hears(t, "one")
	c.hears("one")
	await(t, p, func(s Stats) bool {
		return s == Stats{Connections: 1, Accepted: 1, RequestBytes: 4, ReplyBytes: 4}
	})
	c.conn.Close()
	await(t, p, func(s Stats) bool { return s.Connections == 0 && s.Accepted == 1 })
}

func TestProxyPassesHalfClose(t *testing.T) {
	p, _ := newProxy(t)
	c := dial(t, p)
	c.says("last words")
	if err := c.conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	c.hears("last words")
	if _, err := c.reads(); !errors.Is(err, io.EOF) {
		t.Fatalf("the end came as %v", err)
	}
}

func TestProxyCut(t *testing.T) {
	p, _ := newProxy(t)
	c := dial(t, p)
	c.says("one")
	c.hears("one")
	p.Cut()
	c.isReset()
	if conn, err := net.Dial("tcp", p.Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("dialling while cut: %v, %v", conn, err)
	}
	p.Pass()
	c = dial(t, p)
	c.says("two")
	c.hears("two")
}

func TestProxySilence(t *testing.T) {
	p, e := newProxy(t)
	idle, old := dial(t, p), dial(t, p)
	for _, c := range []*client{idle, old} {
		c.says("one")
		e.hears(t, "one")
		c.hears("one")
	}
	p.Silence()
	old.says("two")
	fresh := dial(t, p)
	fresh.says("three")
	await(t, p, func(s Stats) bool { return s.DroppedRequests == int64(len("two\nthree\n")) && s.Connections == 3 })
	p.Pass()
	old.isReset()
	fresh.isReset()
	idle.says("four") // It lost nothing and goes on.
	idle.hears("four")
	e.hears(t, "four")
	e.heardNothing(t)
}

func TestProxyHealReset(t *testing.T) {
	p, _ := newProxy(t)
	idle := dial(t, p)
	idle.says("one")
	idle.hears("one")
	p.Silence()
	p.HealReset()
	idle.isReset()
	c := dial(t, p)
	c.says("two")
	c.hears("two")
	p.HealReset() // Nothing was dropped in its life.
	c.says("three")
	c.hears("three")
}

func TestProxySilenceHidesTheServersEnd(t *testing.T) {
	p, e := newProxy(t)
	c := dial(t, p)
	c.says("one")
	c.hears("one")
	e.hears(t, "one")
	p.Silence()
	c.says("two")
	await(t, p, func(s Stats) bool { return s.DroppedRequests == 4 })
	p.Mute() // A hole in the stream: the link cannot carry requests again.
	c.isReset()
	e.heardNothing(t)
}

func TestProxyMute(t *testing.T) {
	p, e := newProxy(t)
	c := dial(t, p)
	p.Mute()
	c.says("one")
	e.hears(t, "one")
	await(t, p, func(s Stats) bool { return s.DroppedReplies == 4 })
	fresh := dial(t, p)
	fresh.says("two")
	e.hears(t, "two")
	await(t, p, func(s Stats) bool { return s.DroppedReplies == 8 })
	p.Pass()
	c.isReset()
	fresh.isReset()
}

func TestProxyDeafen(t *testing.T) {
	p, e := newProxy(t)
	c := dial(t, p)
	p.HoldReplies()
	c.says("one")
	e.hears(t, "one")
	await(t, p, func(s Stats) bool { return s.HeldReplies == 4 })
	p.Deafen()
	c.hears("one") // Deafness passes replies.
	c.says("two")
	await(t, p, func(s Stats) bool { return s.DroppedRequests == 4 })
	e.heardNothing(t)
	p.Pass()
	c.isReset()
}

func TestProxyHoldsReplies(t *testing.T) {
	p, e := newProxy(t)
	c := dial(t, p)
	p.HoldReplies()
	c.says("one")
	e.hears(t, "one")
	await(t, p, func(s Stats) bool { return s.HeldReplies == 4 })
	p.FlushReplies()
	if s := p.Stats(); s.ReplyBytes != 4 || s.HeldReplies != 0 {
		t.Fatalf("after the flush: %+v", s)
	}
	c.hears("one")
	c.says("two")
	e.hears(t, "two")
	await(t, p, func(s Stats) bool { return s.HeldReplies == 4 })
	p.ReleaseReplies()
	c.hears("two")
	c.says("three")
	c.hears("three")
}

func TestProxyReleasesOneReplyIntoSilence(t *testing.T) {
	p, e := newProxy(t)
	c := dial(t, p)
	p.HoldReplies()
	c.says("one")
	e.hears(t, "one")
	await(t, p, func(s Stats) bool { return s.HeldReplies == 4 })
	p.FlushReplies()
	p.Silence()
	c.hears("one")
	c.says("two")
	await(t, p, func(s Stats) bool { return s.DroppedRequests == 4 && s.DroppedReplies == 0 })
	p.HealReset()
	c.isReset()
	e.heardNothing(t)
}

func TestProxyDropsWhatItHeldWhenSilenced(t *testing.T) {
	p, e := newProxy(t)
	c := dial(t, p)
	p.HoldRequests()
	c.says("one")
	await(t, p, func(s Stats) bool { return s.HeldRequests == 4 })
	p.Silence()
	if s := p.Stats(); s.DroppedRequests != 4 || s.HeldRequests != 0 {
		t.Fatalf("after the silence: %+v", s)
	}
	p.Pass()
	c.isReset()
	e.heardNothing(t)
}

func TestProxyLandsHeldRequestsOfAClientThatIsGone(t *testing.T) {
	for name, leave := range map[string]func(*net.TCPConn) error{
		"closed": (*net.TCPConn).Close,
		"reset": func(conn *net.TCPConn) error {
			return errors.Join(conn.SetLinger(0), conn.Close())
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, e := newProxy(t)
			c := dial(t, p)
			p.HoldRequests()
			c.says("late")
			await(t, p, func(s Stats) bool { return s.HeldRequests == 5 })
			if err := leave(c.conn.(*net.TCPConn)); err != nil {
				t.Fatal(err)
			}
			e.heardNothing(t)
			p.ReleaseRequests()
			e.hears(t, "late")
			await(t, p, func(s Stats) bool { return s.Connections == 0 })
		})
	}
}

func TestProxyDelays(t *testing.T) {
	p, _ := newProxy(t)
	c := dial(t, p)
	const each, jitter = 50 * time.Millisecond, 20 * time.Millisecond
	p.Delay(each, jitter)
	began := time.Now()
	for _, line := range []string{"one", "two", "three"} {
		c.says(line)
		c.hears(line)
	}
	if took := time.Since(began); took < 6*each {
		t.Fatalf("three requests and replies took %v, less than six delays", took)
	}
}

func TestProxyResetAll(t *testing.T) {
	p, _ := newProxy(t)
	c := dial(t, p)
	c.says("one")
	c.hears("one")
	p.ResetAll()
	c.isReset()
	c = dial(t, p)
	c.says("two")
	c.hears("two")
}

func TestProxyTellsOfAServerThatIsGone(t *testing.T) {
	p, e := newProxy(t)
	e.listener.Close()
	// The reset may come as early as the dialling ends.
	if conn, err := net.Dial("tcp", p.Addr()); err == nil {
		(&client{t: t, conn: conn, in: bufio.NewReader(conn)}).isReset()
		conn.Close()
	} else if !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("dialling: %v", err)
	}
	await(t, p, func(s Stats) bool { return s.Connections == 0 && s.Accepted == 1 })
	p.Silence()
	c := dial(t, p)
	await(t, p, func(s Stats) bool { return s.Connections == 1 })
	p.Pass()
	c.isReset()
}

func TestProxyHoldsBackASenderWhoseReceiverDoesNotRead(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	p, err := NewProxy(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	c := dial(t, p)
	var wrote sync.WaitGroup
	defer wrote.Wait()
	defer c.conn.Close()
	wrote.Go(func() {
		for data := make([]byte, 1<<20); ; {
			if _, err := c.conn.Write(data); err != nil {
				return
			}
		}
	})
	await(t, p, func(s Stats) bool { return s.HeldRequests > pipeLimit })
	p.Silence() // Interrupts the write that is stuck.
	await(t, p, func(s Stats) bool { return s.HeldRequests == 0 && s.DroppedRequests > 2*pipeLimit })
}

func TestProxyTap(t *testing.T) {
	// Catches: requests that are tapped when they arrive, though they are held
	// or dropped then; one writer for all connections; replies tapped too.
	server := newEcho(t)
	p, err := NewProxy(server.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	var mu sync.Mutex
	var taps []*strings.Builder
	p.Tap(func() io.Writer {
		mu.Lock()
		defer mu.Unlock()
		taps = append(taps, &strings.Builder{})
		return taps[len(taps)-1]
	})
	one := dial(t, p)
	one.says("one")
	one.hears("one")
	p.HoldRequests()
	one.says("held")
	await(t, p, func(s Stats) bool { return s.HeldRequests > 0 })
	p.Silence()
	p.HealReset()
	two := dial(t, p)
	two.says("two")
	two.hears("two")
	p.Close()
	if len(taps) != 2 || taps[0].String() != "one\n" || taps[1].String() != "two\n" {
		t.Errorf("tapped: %v", taps)
	}
}

func TestProxiesAreOnePerTarget(t *testing.T) {
	one, two := newEcho(t), newEcho(t)
	both, err := NewProxiesTo(one.listener.Addr().String(), two.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer both.Close()
	both.Node(0).Cut()
	if _, err := net.Dial("tcp", both.Addrs()[0]); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("dialling the one that is cut: %v", err)
	}
	c := dial(t, both.Node(1))
	both.HoldReplies()
	c.says("one")
	two.hears(t, "one")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := both.Await(ctx, func(s Stats) bool { return s.HeldReplies > 0 }); err != nil {
		t.Fatal(err)
	}
	both.ReleaseReplies()
	c.hears("one")
	if s := both.Stats(); s.Accepted != 1 || s.ReplyBytes != 4 {
		t.Fatalf("stats: %+v", s)
	}
}
