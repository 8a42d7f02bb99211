package zookeeper

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/go-zookeeper/zk"
)

// Operations of the protocol that the adapter sends itself. The zk client knows
// neither opMultiRead nor opAddWatch, which servers have since 3.6.0.
const (
	opExists        = 3
	opGetData       = 4
	opGetChildren2  = 12
	opCheck         = 13
	opMulti         = 14
	opRemoveWatches = 18
	opMultiRead     = 22
	opAuth          = 100
	opAddWatch      = 106
)

// Codes of the protocol that the adapter acts upon.
const (
	codeUnimplemented  = -6
	codeNoNode         = -101
	codeNoAuth         = -102
	codeSessionExpired = -112
	codeAuthFailed     = -115
	codeSessionMoved   = -118
	codeAuthRequired   = -124
)

const (
	headerBytes = 16 // of every answer: request number, zxid, code
	statBytes   = 68

	watchRecursive = 1 // the mode of opAddWatch: persistent, for all below
	watchAny       = 3 // the type of opRemoveWatches: all watches on the path
)

// errMalformed says that the server's answer is not one of the protocol.
var errMalformed = errors.New("an answer that is not ZooKeeper's")

// request is one frame that the adapter sends itself, without the number that
// it gets when it is sent.
type request struct {
	op   int32
	body []byte
	// sent, if set, is called once the request is on its way.
	sent func()
	// answered, if set, is called with the answer before the next frame is
	// read, whether the caller still waits or not.
	answered func(*reply)
}

// reply is the answer to a request.
type reply struct {
	code int32
	body []byte
	err  error // why there is none

	events   []treeEvent // the subscriber's events before this answer (see marked)
	overflow bool        // some of them were dropped
}

// failure is why the server refused a request, nil if it did not.
func (r *reply) failure() error {
	if r.err != nil {
		return r.err
	}
	return codeError(r.code)
}

// codeError is the zk client's error for a code.
func codeError(code int32) error {
	switch code {
	case 0:
		return nil
	case codeNoNode:
		return zk.ErrNoNode
	case codeNoAuth:
		return zk.ErrNoAuth
	case codeSessionExpired:
		return zk.ErrSessionExpired
	case codeAuthFailed:
		return zk.ErrAuthFailed
	case codeAuthRequired:
		return fmt.Errorf("%w: the server wants a credential (enforce.auth.schemes)", zk.ErrAuthFailed)
	case codeSessionMoved:
		return zk.ErrSessionMoved
	}
	return fmt.Errorf("the server answered with error %d", code)
}

func appendString(b []byte, s string) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
	return append(b, s...)
}

func appendInt(b []byte, n int32) []byte { return binary.BigEndian.AppendUint32(b, uint32(n)) }

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// appendMultiHeader begins an operation of a multi or a multiRead, or ends it.
func appendMultiHeader(b []byte, op int32, done bool) []byte {
	return appendInt(appendBool(appendInt(b, op), done), -1)
}

// pathRequest asks for something of one node; watch sets a watch that fires
// once.
func pathRequest(op int32, path string, watch bool) request {
	return request{op: op, body: appendBool(appendString(nil, path), watch)}
}

// barrierRequest is a commit of nothing. A check of version -1 asks only that
// the node is there; the root always is.
func barrierRequest() request {
	b := appendInt(appendString(appendMultiHeader(nil, opCheck, false), "/"), -1)
	return request{op: opMulti, body: appendMultiHeader(b, -1, true)}
}

// dataRequest asks for the data of several nodes.
func dataRequest(paths []string) request {
	var b []byte
	for _, path := range paths {
		b = appendBool(appendString(appendMultiHeader(b, opGetData, false), path), false)
	}
	return request{op: opMultiRead, body: appendMultiHeader(b, -1, true)}
}

// dataRequestBytes is what a path adds to a dataRequest.
func dataRequestBytes(path string) int { return 9 + 4 + len(path) + 1 }

func addWatchRequest(path string) request {
	return request{op: opAddWatch, body: appendInt(appendString(nil, path), watchRecursive)}
}

func removeWatchesRequest(path string) request {
	return request{op: opRemoveWatches, body: appendInt(appendString(nil, path), watchAny)}
}

// decoder decodes an answer. Once bytes are missing every result is zero, and bad
// is set.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) take(n int) []byte {
	if n < 0 || n > len(d.b) {
		d.b, d.bad = nil, true
		return nil
	}
	taken := d.b[:n]
	d.b = d.b[n:]
	return taken
}

func (d *decoder) int32() int32 {
	if b := d.take(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (d *decoder) int64() int64 {
	if b := d.take(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

func (d *decoder) bool() bool {
	b := d.take(1)
	return b != nil && b[0] != 0
}

// bytes returns a copy, so that what is kept does not keep the whole frame. A
// length of -1 stands for no data.
func (d *decoder) bytes() []byte {
	n := d.int32()
	if n == -1 {
		return nil
	}
	return bytes.Clone(d.take(int(n)))
}

func (d *decoder) string() string { return string(d.take(int(d.int32()))) }

func (d *decoder) stat() *zk.Stat {
	if len(d.b) < statBytes {
		d.take(statBytes)
		return new(zk.Stat)
	}
	return &zk.Stat{
		Czxid: d.int64(), Mzxid: d.int64(), Ctime: d.int64(), Mtime: d.int64(),
		Version: d.int32(), Cversion: d.int32(), Aversion: d.int32(), EphemeralOwner: d.int64(),
		DataLength: d.int32(), NumChildren: d.int32(), Pzxid: d.int64(),
	}
}

// end reports whether nothing was missing and nothing is left.
func (d *decoder) end() error {
	if d.bad || len(d.b) > 0 {
		return errMalformed
	}
	return nil
}

// node is a node as it was read.
type node struct {
	data  []byte
	stat  *zk.Stat
	there bool
}

// node is the answer to opGetData.
func (r *reply) node() (node, error) {
	if r.err == nil && r.code == codeNoNode {
		return node{}, nil
	}
	if err := r.failure(); err != nil {
		return node{}, err
	}
	d := decoder{b: r.body}
	n := node{data: d.bytes(), stat: d.stat(), there: true}
	return n, d.end()
}

// exists is the answer to opExists: the node's stat, if there is one.
func (r *reply) exists() (*zk.Stat, error) {
	if r.err == nil && r.code == codeNoNode {
		return nil, nil
	}
	if err := r.failure(); err != nil {
		return nil, err
	}
	d := decoder{b: r.body}
	stat := d.stat()
	return stat, d.end()
}

// children are the names in a directory at one instant.
type children struct {
	names []string
	stat  *zk.Stat
	there bool
}

// children is the answer to opGetChildren2.
func (r *reply) children() (children, error) {
	if r.err == nil && r.code == codeNoNode {
		return children{}, nil
	}
	if err := r.failure(); err != nil {
		return children{}, err
	}
	d := decoder{b: r.body}
	n := int(d.int32())
	if n < 0 || n > len(d.b)/4 {
		return children{}, errMalformed
	}
	found := children{names: make([]string, n), there: true}
	for i := range found.names {
		found.names[i] = d.string()
	}
	found.stat = d.stat()
	return found, d.end()
}

// nodes is the answer to a dataRequest of n paths.
func (r *reply) nodes(n int) ([]node, error) {
	if err := r.failure(); err != nil {
		return nil, err
	}
	d := decoder{b: r.body}
	nodes := make([]node, n)
	for i := range nodes {
		op, done, code := d.int32(), d.bool(), d.int32()
		switch {
		case done || d.bad:
			return nil, errMalformed
		case op == opGetData && code == 0:
			nodes[i] = node{data: d.bytes(), stat: d.stat(), there: true}
		case op == -1:
			if code = d.int32(); code != codeNoNode {
				if err := codeError(code); err != nil {
					return nil, err
				}
				return nil, errMalformed
			}
		default:
			return nil, errMalformed
		}
	}
	return nodes, d.endMulti()
}

// endMulti reads the header behind the last operation.
func (d *decoder) endMulti() error {
	if _, done, _ := d.int32(), d.bool(), d.int32(); !done {
		return errMalformed
	}
	return d.end()
}

// agreed is the answer to a barrierRequest.
func (r *reply) agreed() error {
	if err := r.failure(); err != nil {
		return err
	}
	d := decoder{b: r.body}
	op, done, code := d.int32(), d.bool(), d.int32()
	if op == -1 && !done && !d.bad {
		code = d.int32()
	}
	switch {
	case done || d.bad || op != opCheck && op != -1:
		return errMalformed
	case code != 0:
		return codeError(code)
	case op == -1:
		return errMalformed
	}
	return d.endMulti()
}
