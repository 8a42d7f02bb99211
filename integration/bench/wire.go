package bench

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"
)

// slice is how finely a meter sees time.
const slice = 100 * time.Millisecond

// meter counts requests on the wire, at the proxy before the servers. What
// keeps a connection up by itself counts as well, for it is work for the
// server: ZooKeeper's pings do, HTTP/2's do not.
type meter struct {
	mu     sync.Mutex
	began  time.Time
	total  int
	slices map[int]int
	err    error // what came was not understood
}

func newMeter() *meter { return &meter{began: time.Now(), slices: make(map[int]int)} }

func (m *meter) add(n int) {
	if n == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.total += n
	m.slices[int(time.Since(m.began)/slice)] += n
}

// count returns how many requests there were so far.
func (m *meter) count() (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.total, m.err
}

// peak returns the most requests within a second since the instant given.
func (m *meter) peak(since time.Time) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	const window = int(time.Second / slice)
	from, to, most := int(since.Sub(m.began)/slice), int(time.Since(m.began)/slice), 0
	for first := from; first <= to; first++ {
		sum := 0
		for i := first; i < first+window; i++ {
			sum += m.slices[i]
		}
		most = max(most, sum)
	}
	return most, m.err
}

func (m *meter) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err == nil {
		m.err = err
	}
}

// tap returns what reads a connection's requests, in the protocol of a store.
func (m *meter) tap(store string) func() io.Writer {
	parse := map[string]func([]byte, *wire) (int, int, error){"etcd": http2, "consul": http1, "zookeeper": zooKeeper, "postgres": postgresWire}[store]
	return func() io.Writer { return &wire{meter: m, parse: parse} }
}

// wire is one connection: it puts together what came in pieces.
type wire struct {
	meter *meter
	parse func(data []byte, w *wire) (used, requests int, err error)
	rest  []byte
	skip  int  // bytes that follow and are of no interest
	begun bool // the preface was read
	dead  bool
}

func (w *wire) Write(data []byte) (int, error) {
	n := len(data)
	for !w.dead && len(data) > 0 {
		if skipped := min(w.skip, len(data)); skipped > 0 {
			w.skip -= skipped
			data = data[skipped:]
			continue
		}
		w.rest = append(w.rest, data...)
		data = nil
		used, requests, err := w.parse(w.rest, w)
		if err != nil {
			w.dead = true
			w.meter.fail(err)
		}
		w.meter.add(requests)
		if used > 0 {
			data = w.rest[used:]
			w.rest = nil
		}
	}
	return n, nil
}

// zooKeeper reads one frame: its length, and what to skip.
func zooKeeper(data []byte, w *wire) (used, requests int, err error) {
	if len(data) < 4 {
		return 0, 0, nil
	}
	w.skip = int(int32(binary.BigEndian.Uint32(data)))
	if w.skip < 0 || w.skip > 64<<20 {
		return 0, 0, fmt.Errorf("a ZooKeeper frame of %d bytes", w.skip)
	}
	return 4, 1, nil
}

// The requests of PostgreSQL's protocol that are not its version.
const (
	cancelRequest = 80877102
	sslRequest    = 80877103
	gssRequest    = 80877104
)

// postgresWire reads one message's head. A round trip ends with a Sync or is a
// simple Query; to connect, and to cancel a statement, are requests too.
func postgresWire(data []byte, w *wire) (used, requests int, err error) {
	if !w.begun {
		if len(data) < 8 {
			return 0, 0, nil
		}
		size, code := binary.BigEndian.Uint32(data), binary.BigEndian.Uint32(data[4:])
		if size < 8 || size > 10000 || code>>16 != 3 && (code < cancelRequest || code > gssRequest) {
			return 0, 0, fmt.Errorf("no start of a connection to PostgreSQL: %.8q", data)
		}
		w.skip = int(size) - 8
		w.begun = code != sslRequest && code != gssRequest
		if w.begun {
			requests = 1
		}
		return 8, requests, nil
	}
	if len(data) < 5 {
		return 0, 0, nil
	}
	size := binary.BigEndian.Uint32(data[1:])
	if size < 4 || size > 64<<20 {
		return 0, 0, fmt.Errorf("a message of PostgreSQL of %d bytes", size)
	}
	w.skip = int(size) - 4
	if data[0] == 'S' || data[0] == 'Q' {
		requests = 1
	}
	return 5, requests, nil
}

const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// http2 reads one frame's head. A message of gRPC is a DATA frame, as long as
// it is a small one; an empty one only ends a stream.
func http2(data []byte, w *wire) (used, requests int, err error) {
	if !w.begun {
		switch {
		case len(data) < len(preface):
			return 0, 0, nil
		case string(data[:len(preface)]) != preface:
			return 0, 0, fmt.Errorf("not HTTP/2: %.40q", data)
		}
		w.begun = true
		return len(preface), 0, nil
	}
	if len(data) < 9 {
		return 0, 0, nil
	}
	w.skip = int(data[0])<<16 | int(data[1])<<8 | int(data[2])
	if data[3] == 0 && w.skip > 0 {
		requests = 1
	}
	return 9, requests, nil
}

// http1 reads one request's head.
func http1(data []byte, w *wire) (used, requests int, err error) {
	end := bytes.Index(data, []byte("\r\n\r\n"))
	if end < 0 {
		return 0, 0, nil
	}
	lines := strings.Split(string(data[:end]), "\r\n")
	if !strings.HasSuffix(lines[0], " HTTP/1.1") {
		return 0, 0, fmt.Errorf("not a request: %.40q", lines[0])
	}
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ":")
		switch strings.ToLower(name) {
		case "content-length":
			if w.skip, err = strconv.Atoi(strings.TrimSpace(value)); err != nil {
				return 0, 0, fmt.Errorf("the length of a body: %w", err)
			}
		case "transfer-encoding":
			return 0, 0, fmt.Errorf("a body of unknown length: %q", line)
		}
	}
	return end + 4, 1, nil
}
