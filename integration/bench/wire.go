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
	parse := map[string]func([]byte, *wire) (int, int, error){"etcd": http2, "consul": http1, "zookeeper": zooKeeper}[store]
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
