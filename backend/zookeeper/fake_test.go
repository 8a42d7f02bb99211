package zookeeper

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
)

// Numbers of the protocol that only the tests need.
const (
	opCreate = 1
	opPing   = 11
)

// fake is a server that answers on real connections what a test tells it to:
// without more, that all is well and nothing is there.
type fake struct {
	addr    string
	timeout time.Duration

	mu       sync.Mutex
	sessions int64
	expired  bool                         // it knows no session any more
	silent   bool                         // it answers no connect request
	old      bool                         // it is from before 3.6
	noTrees  bool                         // its watch manager has no recursive watches
	tooLarge int                          // so many nodes make an answer that is too large
	conns    map[net.Conn]map[string]bool // with the paths of their recursive watches
	counts   map[int32]int
	numbers  map[int64][]int32 // of the requests of each session
	bodies   map[int32][][]byte
	// answer says how to answer a request, if it likes to.
	answer func(op int32, body []byte) (code int32, reply []byte, what reaction)

	// order is held while a request is served, and while a change is made and
	// told: a server serves no read while it applies a commit.
	order sync.Mutex
}

type reaction int

const (
	usual reaction = iota // as if answer were not there
	told
	hold  // no answer
	cutIt // the connection
)

func startFake(t testing.TB) *fake {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{
		addr: listener.Addr().String(), timeout: 4 * time.Second,
		conns: make(map[net.Conn]map[string]bool), counts: make(map[int32]int), numbers: make(map[int64][]int32), bodies: make(map[int32][][]byte),
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			f.mu.Lock()
			f.conns[conn] = make(map[string]bool)
			f.mu.Unlock()
			all.Go(func() { f.serve(conn) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		f.cut()
		all.Wait()
	})
	return f
}

// set changes the fake under its lock.
func (f *fake) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// cut closes all connections.
func (f *fake) cut() {
	f.set(func() {
		for conn := range f.conns {
			conn.Close()
		}
	})
}

func (f *fake) count(op int32) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.counts[op]
}

func readFrame(conn net.Conn) ([]byte, error) {
	head := make([]byte, 4)
	if _, err := io.ReadFull(conn, head); err != nil {
		return nil, err
	}
	body := make([]byte, binary.BigEndian.Uint32(head))
	_, err := io.ReadFull(conn, body)
	return body, err
}

func writeFrame(conn net.Conn, body []byte) {
	_, _ = conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...))
}

func header(xid int32, code int32) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(xid))
	b = binary.BigEndian.AppendUint64(b, 7)
	return binary.BigEndian.AppendUint32(b, uint32(code))
}

// greeting is the answer to a connect request.
func greeting(id int64, timeout time.Duration) []byte {
	b := binary.BigEndian.AppendUint32(nil, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(timeout.Milliseconds()))
	b = binary.BigEndian.AppendUint64(b, uint64(id))
	b = binary.BigEndian.AppendUint32(b, 16)
	return append(append(b, make([]byte, 16)...), 0)
}

func (f *fake) serve(conn net.Conn) {
	defer func() {
		conn.Close()
		f.set(func() { delete(f.conns, conn) })
	}()
	request, err := readFrame(conn)
	if err != nil {
		return
	}
	f.mu.Lock()
	id, silent := int64(binary.BigEndian.Uint64(request[16:])), f.silent
	switch {
	case id == 0:
		f.sessions++
		id = f.sessions
	case f.expired:
		id = 0
	}
	f.mu.Unlock()
	if silent {
		_, _ = readFrame(conn) // until the client goes
		return
	}
	writeFrame(conn, greeting(id, f.timeout))
	for {
		request, err := readFrame(conn)
		if err != nil {
			return
		}
		if number := int32(binary.BigEndian.Uint32(request)); number > 0 {
			f.set(func() { f.numbers[id] = append(f.numbers[id], number) })
		}
		if !f.react(conn, request) {
			return
		}
	}
}

// react answers one request, and reports whether the connection goes on.
func (f *fake) react(conn net.Conn, request []byte) bool {
	xid, op := int32(binary.BigEndian.Uint32(request)), int32(binary.BigEndian.Uint32(request[4:]))
	body := request[8:]
	f.order.Lock()
	defer f.order.Unlock()
	f.mu.Lock()
	f.counts[op]++
	f.bodies[op] = append(f.bodies[op], body)
	answer, old, noTrees, tooLarge := f.answer, f.old, f.noTrees, f.tooLarge
	f.mu.Unlock()
	if old && (op == opMultiRead || op == opAddWatch) {
		writeFrame(conn, header(xid, codeUnimplemented))
		return false
	}
	if answer != nil {
		switch code, b, what := answer(op, body); what {
		case usual:
		case told:
			writeFrame(conn, append(header(xid, code), b...))
			return true
		case hold:
			return true
		case cutIt:
			return false
		}
	}
	switch op {
	case opMulti:
		writeFrame(conn, append(header(xid, 0), multiOK(body)...))
	case opPing:
		writeFrame(conn, header(xid, 0))
	case opCloseSession:
		writeFrame(conn, header(xid, 0))
		return false
	case opExists:
		if path(body) == "/" {
			writeFrame(conn, append(header(xid, 0), stat(0, 0)...))
			return true
		}
		writeFrame(conn, header(xid, codeNoNode))
	case opAuth:
		writeFrame(conn, header(xid, 0))
	case opAddWatch:
		if noTrees {
			writeFrame(conn, header(xid, -5))
			return true
		}
		f.set(func() { f.conns[conn][path(body)] = true })
		writeFrame(conn, append(header(xid, 0), 0, 0, 0, 0))
	case opRemoveWatches:
		f.set(func() { delete(f.conns[conn], path(body)) })
		writeFrame(conn, header(xid, 0))
	case opMultiRead:
		if n := bytes.Count(body, []byte{0, 0, 0, opGetData, 0}); tooLarge > 0 && n >= tooLarge {
			_, _ = conn.Write(append(binary.BigEndian.AppendUint32(nil, maxFrame+1), header(xid, 0)...))
			return true
		}
		writeFrame(conn, append(header(xid, 0), f.multiRead(body, answer)...))
	default:
		writeFrame(conn, header(xid, codeNoNode))
	}
	return true
}

// multiRead answers each operation as it would alone.
func (f *fake) multiRead(body []byte, answer func(int32, []byte) (int32, []byte, reaction)) []byte {
	var b []byte
	for d := (decoder{b: body}); ; {
		op, done, _ := d.int32(), d.bool(), d.int32()
		if done || d.bad {
			return append(b, 0xff, 0xff, 0xff, 0xff, 1, 0xff, 0xff, 0xff, 0xff)
		}
		name := d.string()
		d.bool()
		code, data, what := int32(codeNoNode), []byte(nil), usual
		if answer != nil {
			code, data, what = answer(op, pathRequest(op, name, false).body)
		}
		if what == usual {
			code = codeNoNode
			if name == "/" {
				code, data = 0, node0()
			}
		}
		if code == 0 {
			b = append(append(b, 0, 0, 0, byte(op), 0, 0, 0, 0, 0), data...)
		} else {
			b = appendInt(appendInt(appendBool(appendInt(b, -1), false), code), code)
		}
	}
}

// node0 is the data of a node that has none.
func node0() []byte { return data("", 0) }

// path returns the string that a request begins with.
func path(body []byte) string { return string(body[4 : 4+binary.BigEndian.Uint32(body)]) }

// stat is a node's.
func stat(zxid int64, version int32) []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(zxid))
	b = binary.BigEndian.AppendUint64(b, uint64(zxid))
	b = append(b, make([]byte, 16)...)
	b = binary.BigEndian.AppendUint32(b, uint32(version))
	b = append(b, make([]byte, 8+8+8)...)
	return binary.BigEndian.AppendUint64(b, uint64(zxid))
}

// data is the answer to a request for a node's data.
func data(value string, zxid int64) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(value)))
	return append(append(b, value...), stat(zxid, 0)...)
}

// multiOK answers a multi of one operation, a check or a create.
func multiOK(body []byte) []byte {
	op := int32(binary.BigEndian.Uint32(body))
	b := binary.BigEndian.AppendUint32(nil, uint32(op))
	b = append(b, 0, 0, 0, 0, 0)
	if op == opCreate {
		name := path(body[9:])
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(name))), name...)
	}
	return append(b, 0xff, 0xff, 0xff, 0xff, 1, 0xff, 0xff, 0xff, 0xff)
}

// isBarrier reports whether a multi is a check alone.
func isBarrier(op int32, body []byte) bool {
	return op == opMulti && binary.BigEndian.Uint32(body) == 13
}

// event sends what a watch says to every connection.
func (f *fake) event(kind zk.EventType, name string) {
	f.set(func() {
		for conn := range f.conns {
			writeFrame(conn, eventFrame(kind, name))
		}
	})
}

// open returns a driver for the fake, which is closed when the test ends.
func (f *fake) open(t testing.TB, options *Options) *Driver {
	t.Helper()
	if options == nil {
		options = &Options{Tick: time.Second}
	}
	d, err := NewDriver([]string{f.addr}, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := d.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return d
}

// within returns a context for what must not take long.
func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func wantErr(t testing.TB, what string, err error, wants ...error) {
	t.Helper()
	for _, want := range wants {
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
}
