package bench

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"
)

// Each protocol is counted alike however its bytes are cut up.
func TestMeter(t *testing.T) {
	zooFrame := func(n int) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(n)), make([]byte, n)...) }
	frame := func(kind byte, n int) []byte {
		return append([]byte{0, byte(n >> 8), byte(n), kind, 0, 0, 0, 0, 1}, bytes.Repeat([]byte{'x'}, n)...)
	}
	message := func(kind string, n int) []byte {
		return append(binary.BigEndian.AppendUint32([]byte(kind), uint32(n+4)), make([]byte, n)...)
	}
	startup := append(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, 20), 3<<16), make([]byte, 12)...)
	for store, c := range map[string]struct {
		parts [][]byte
		want  int
	}{
		"zookeeper": {[][]byte{zooFrame(44), zooFrame(8), zooFrame(0)}, 3},
		// The start, a statement, a simple one, and a Terminate.
		"postgres": {[][]byte{startup, message("P", 100), message("B", 30), message("E", 5), message("S", 0), message("Q", 9), message("X", 0)}, 3},
		// Settings, headers, a message, a ping, the end of a stream.
		"etcd": {[][]byte{[]byte(preface), frame(4, 0), frame(1, 300), frame(0, 5), frame(6, 8), frame(0, 0), frame(0, 700)}, 2},
		"consul": {[][]byte{
			[]byte("GET /v1/kv/a?index=1 HTTP/1.1\r\nHost: a\r\n\r\n"),
			[]byte("PUT /v1/txn HTTP/1.1\r\nContent-Length: 9\r\n\r\nab\r\n\r\ncde"),
			[]byte("PUT /v1/kv/a HTTP/1.1\r\ncontent-length: 0\r\n\r\n"),
		}, 3},
	} {
		all := bytes.Join(c.parts, nil)
		for _, size := range []int{1, 2, 3, 7, 64, len(all)} {
			m := newMeter()
			w := m.tap(store)()
			for rest := all; len(rest) > 0; {
				n := min(size, len(rest))
				if _, err := w.Write(rest[:n]); err != nil {
					t.Fatal(err)
				}
				rest = rest[n:]
			}
			if got, err := m.count(); got != c.want || err != nil {
				t.Errorf("%s in pieces of %d: %d requests, %v", store, size, got, err)
			}
			if peak, err := m.peak(m.began); peak != c.want || err != nil {
				t.Errorf("%s: a peak of %d, %v", store, peak, err)
			}
			if peak, _ := m.peak(time.Now().Add(2 * slice)); peak != 0 {
				t.Errorf("%s: a peak of %d in what is to come", store, peak)
			}
		}
	}
}

// What is not understood is no count of nothing.
func TestMeterOfNonsense(t *testing.T) {
	for store, text := range map[string]string{
		"etcd":      "GET / HTTP/1.1\r\nHost: somebody who is lost\r\n\r\n",
		"consul":    "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
		"zookeeper": "\xff\xff\xff\xff",
		"postgres":  "GET / HTTP/1.1\r\n",
	} {
		m := newMeter()
		_, _ = m.tap(store)().Write([]byte(text))
		if n, err := m.count(); err == nil {
			t.Errorf("%s: %d requests and no error", store, n)
		}
	}
}
