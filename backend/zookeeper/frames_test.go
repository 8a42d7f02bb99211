package zookeeper

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"reflect"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
)

// TestFrames compares the requests with the bytes that Apache ZooKeeper's own
// client sends, and takes answers apart.
func TestFrames(t *testing.T) {
	for name, c := range map[string]struct {
		r    request
		op   int32
		body string
	}{
		"getData":       {pathRequest(opGetData, "/a", false), 4, "\x00\x00\x00\x02/a\x00"},
		"getChildren2":  {pathRequest(opGetChildren2, "/a", true), 12, "\x00\x00\x00\x02/a\x01"},
		"addWatch":      {addWatchRequest("/a"), 106, "\x00\x00\x00\x02/a\x00\x00\x00\x01"},
		"removeWatches": {removeWatchesRequest("/a"), 18, "\x00\x00\x00\x02/a\x00\x00\x00\x03"},
		"multiRead": {
			dataRequest([]string{"/a", "/b"}), 22,
			"\x00\x00\x00\x04\x00\xff\xff\xff\xff\x00\x00\x00\x02/a\x00" + "\x00\x00\x00\x04\x00\xff\xff\xff\xff\x00\x00\x00\x02/b\x00" +
				"\xff\xff\xff\xff\x01\xff\xff\xff\xff",
		},
		"multi": {
			barrierRequest(), 14,
			"\x00\x00\x00\x0d\x00\xff\xff\xff\xff\x00\x00\x00\x01/\xff\xff\xff\xff" + "\xff\xff\xff\xff\x01\xff\xff\xff\xff",
		},
	} {
		if c.r.op != c.op || string(c.r.body) != c.body {
			t.Errorf("%s is operation %d with %q, want %d with %q", name, c.r.op, c.r.body, c.op, c.body)
		}
	}
	const end = "\xff\xff\xff\xff\x01\xff\xff\xff\xff"
	s := &zk.Stat{Czxid: 1, Mzxid: 2, Version: 3, Cversion: 4, Aversion: 5, EphemeralOwner: 6, DataLength: 1, NumChildren: 7, Pzxid: 8}
	found := "\x00\x00\x00\x04\x00\x00\x00\x00\x00" + "\x00\x00\x00\x01v" + string(fullStat(s))
	refused := func(code byte) string {
		return "\xff\xff\xff\xff\x00\xff\xff\xff" + string([]byte{code}) + "\xff\xff\xff" + string([]byte{code})
	}
	nodes, err := (&reply{body: []byte(found + refused(0x9b) + end)}).nodes(2)
	want := []node{{[]byte("v"), s, true}, {}}
	if err != nil || !reflect.DeepEqual(nodes, want) {
		t.Errorf("nodes = %v, %v; want %v", nodes, err, want)
	}
	if _, err := (&reply{body: []byte(found + refused(0x9a) + end)}).nodes(2); !errors.Is(err, zk.ErrNoAuth) {
		t.Errorf("a node that may not be read: %v", err)
	}
	for name, body := range map[string]string{
		"one too few": found + end, "one too many": found + found + found + end, "without an end": found + found,
		"with more behind": found + found + end + "x", "of another operation": "\x00\x00\x00\x08" + found[4:] + found + end,
		"refused without a reason": found + "\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00\x00" + end,
	} {
		if nodes, err := (&reply{body: []byte(body)}).nodes(2); err == nil {
			t.Errorf("an answer %s: %v", name, nodes)
		}
	}
	if err := (&reply{body: []byte("\x00\x00\x00\x0d\x00\x00\x00\x00\x00" + end)}).agreed(); err != nil {
		t.Errorf("agreed: %v", err)
	}
	for name, r := range map[string]*reply{
		"nothing": {}, "another operation": {body: []byte("\x00\x00\x00\x05\x00\x00\x00\x00\x00" + end)}, "an end": {body: []byte(end)},
		"a refusal": {body: []byte(refused(0x9a) + end)}, "an error": {code: codeSessionExpired}, "no answer": {err: io.EOF},
		"a refusal without a code": {body: []byte("\xff\xff\xff\xff\x00\xff\xff\xff\xff\x00\x00\x00\x00" + end)},
	} {
		if r.agreed() == nil {
			t.Errorf("%s counts as a quorum's agreement", name)
		}
	}
}

// FuzzAnswers: whatever a server sends is taken apart or refused, and takes no
// more memory than it has bytes for.
func FuzzAnswers(f *testing.F) {
	s := fullStat(&zk.Stat{Czxid: 1, Pzxid: 2})
	f.Add(int32(0), data("=v", 7))
	f.Add(int32(codeNoNode), []byte{})
	f.Add(int32(0), append([]byte("\x00\x00\x00\x02\x00\x00\x00\x01a\x00\x00\x00\x01b"), s...))
	f.Add(int32(0), append(append([]byte("\x00\x00\x00\x04\x00\x00\x00\x00\x00"), data("=v", 7)...), "\xff\xff\xff\xff\x01\xff\xff\xff\xff"...))
	f.Add(int32(0), []byte("\x00\x00\x00\x0d\x00\x00\x00\x00\x00\xff\xff\xff\xff\x01\xff\xff\xff\xff"))
	f.Add(int32(0), []byte("\x7f\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, code int32, body []byte) {
		r := &reply{code: code, body: body}
		if n, err := r.node(); err == nil && n.there && (code != 0 || len(n.data)+statBytes+4 != len(body) && n.data != nil) {
			t.Errorf("node of %d bytes from %d, code %d", len(n.data), len(body), code)
		}
		if found, err := r.children(); err == nil && found.there {
			size := 4 + statBytes
			for _, name := range found.names {
				size += 4 + len(name)
			}
			if size != len(body) || code != 0 {
				t.Errorf("children of %d bytes from %d, code %d", size, len(body), code)
			}
		}
		for n := range 4 {
			if nodes, err := r.nodes(n); err == nil && (len(nodes) != n || code != 0) {
				t.Errorf("%d nodes of %d, code %d", len(nodes), n, code)
			}
		}
		if err := r.agreed(); err == nil && (code != 0 || !bytes.HasPrefix(body, []byte{0, 0, 0, opCheck, 0, 0, 0, 0, 0})) {
			t.Errorf("%q is taken for a quorum's agreement, code %d", body, code)
		}
		_, _ = r.exists()
	})
}

// FuzzStream: of whatever comes on a connection, the client is given whole
// frames of its own, and the adapter its answers, in order.
func FuzzStream(f *testing.F) {
	frame := func(number int32, body string) []byte {
		b := binary.BigEndian.AppendUint32(nil, uint32(headerBytes+len(body)))
		return append(append(b, header(number, 0)...), body...)
	}
	f.Add(append(frame(1, "client's"), frame(firstNumber, "adapter's")...), uint8(3))
	f.Add(append(frame(firstNumber+1, ""), frame(-1, "event")...), uint8(200))
	f.Add(frame(-2, "")[:10], uint8(1))
	f.Add([]byte{0, 0, 0, 3, 1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, uint8(1))
	f.Add(append([]byte{0xff, 0xff, 0xff, 0xff, 0x40, 0, 0, 0}, make([]byte, 12)...), uint8(9))
	f.Fuzz(func(t *testing.T, stream []byte, chunk uint8) {
		conn := &replay{in: bytes.NewReader(stream)}
		g := newGreetedConn(conn, conn, nil, newNumbers())
		var own, clients []byte
		g.answered = func(number int32, r reply) {
			if number < firstNumber || len(clients) > 0 && g.left > 0 {
				t.Errorf("the adapter was given number %d", number)
			}
			if r.err == nil {
				own = append(own, frame(number, string(r.body))...)
			}
		}
		p := make([]byte, int(chunk)+1)
		for {
			n, err := g.Read(p)
			clients = append(clients, p[:n]...)
			if err != nil {
				break
			}
		}
		if len(own)+len(clients) > len(stream) {
			t.Errorf("%d bytes became %d and %d", len(stream), len(own), len(clients))
		}
		for rest := clients; len(rest) >= 8; {
			size := int(binary.BigEndian.Uint32(rest))
			if number := int32(binary.BigEndian.Uint32(rest[4:])); size < headerBytes || size > maxFrame || number >= firstNumber {
				t.Fatalf("the client was given a frame of %d bytes with the number %d", size, number)
			}
			rest = rest[min(4+size, len(rest)):]
		}
	})
}

// replay is a connection on which a stream comes.
type replay struct {
	net.Conn
	in *bytes.Reader
}

func (r *replay) Read(p []byte) (int, error)        { return r.in.Read(p) }
func (r *replay) Close() error                      { return nil }
func (r *replay) SetReadDeadline(_ time.Time) error { return nil }
