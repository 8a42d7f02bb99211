package zookeeper

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/go-zookeeper/zk"

	"github.com/quorate/quorate/backend/driver"
)

// maxExchange bounds the requests of one exchange.
const maxExchange = 64

// exchanges are the adapter's own requests on a connection that are not
// answered yet.
type exchanges struct {
	mu      sync.Mutex
	waiting map[int32]*waiting
	out     chan []byte // to be written, in the order in which they got their numbers
}

func (x *exchanges) init() {
	x.waiting = make(map[int32]*waiting)
	x.out = make(chan []byte, maxRequests+1)
}

// waiting is a request that waits for its answer.
type waiting struct {
	request  request
	exchange *exchange
	at       int
}

// exchange is a group of requests that are sent together. It holds one of the
// connection's slots until the last of them is answered.
type exchange struct {
	replies []reply
	left    int
	done    chan struct{}
}

// exchange sends requests in one write, and waits for all answers until ctx ends
// or the connection is lost. The server answers them in their order. A request
// behind a write of the same session waits for that write.
//
// The replies are valid only if the error is nil. A refusal by the server is in
// its reply.
func (c *conn) exchange(ctx context.Context, requests ...request) ([]reply, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-c.net.down:
		return nil, errConnLost
	case c.slots <- struct{}{}:
	}
	x := c.send(requests)
	select {
	case <-x.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-c.net.down:
		select {
		case <-x.done: // before the connection was lost
		default:
			return nil, fmt.Errorf("%w: %w", errConnLost, c.net.cause())
		}
	}
	for i := range x.replies {
		if err := x.replies[i].err; err != nil {
			return nil, err
		}
	}
	return x.replies, nil
}

// exchangeAll is exchange for any number of requests.
func (c *conn) exchangeAll(ctx context.Context, requests []request) ([]reply, error) {
	all := make([]reply, 0, len(requests))
	for len(requests) > 0 {
		n := min(len(requests), maxExchange)
		replies, err := c.exchange(ctx, requests[:n]...)
		if err != nil {
			return nil, err
		}
		all, requests = append(all, replies...), requests[n:]
	}
	return all, nil
}

// post sends a request without waiting for its answer. It reports false if there
// is no slot for the request.
func (c *conn) post(r request) bool {
	select {
	case c.slots <- struct{}{}:
		c.send([]request{r})
		return true
	default:
		return false
	}
}

// send numbers the requests and queues them for writing. The caller holds a slot.
func (c *conn) send(requests []request) *exchange {
	x := &exchange{replies: make([]reply, len(requests)), left: len(requests), done: make(chan struct{})}
	c.exchanges.mu.Lock()
	defer c.exchanges.mu.Unlock()
	var frames []byte
	for i, r := range requests {
		number := c.session.numbers.next()
		c.exchanges.waiting[number] = &waiting{request: r, exchange: x, at: i}
		if r.sent != nil {
			r.sent()
		}
		frames = binary.BigEndian.AppendUint32(frames, uint32(8+len(r.body)))
		frames = append(appendInt(appendInt(frames, number), r.op), r.body...)
	}
	c.exchanges.out <- frames // there is room, as each exchange has a slot
	return x
}

// write writes what was sent, until the connection is closed.
func (c *conn) write() {
	for {
		select {
		case frames := <-c.exchanges.out:
			if err := c.net.writeFrames(frames); err != nil {
				c.net.kill(err)
				return
			}
		case <-c.net.down:
			return
		}
	}
}

// answered is called by the connection's reader with each answer to a request
// of the adapter's own, before it looks at what came after.
func (c *conn) answered(number int32, r reply) {
	c.exchanges.mu.Lock()
	w := c.exchanges.waiting[number]
	delete(c.exchanges.waiting, number)
	c.exchanges.mu.Unlock()
	if w == nil {
		c.net.kill(fmt.Errorf("%w: it has the number %d, which no request has", errMalformed, number))
		return
	}
	if w.request.answered != nil {
		w.request.answered(&r)
	}
	c.inspect(w.request, &r)
	x := w.exchange
	x.replies[w.at] = r
	if r.err != nil { // the connection is lost, and no other answer comes
		close(x.done)
		return
	}
	if x.left--; x.left == 0 { // only the reader counts
		close(x.done)
		<-c.slots
	}
}

// inspect closes the connection if an answer says that it is of no further use.
func (c *conn) inspect(sent request, r *reply) {
	switch err := r.failure(); {
	case errors.Is(err, errFrameTooLarge):
		if sent.op != opMultiRead || !c.d.reads.shrink() {
			r.err = fmt.Errorf("%w: %w", driver.ErrTooLarge, err)
		}
		c.net.kill(err)
	case errors.Is(err, zk.ErrSessionExpired), errors.Is(err, zk.ErrSessionMoved):
		// The session has ended, or another connection has taken it over: a
		// server may have served an abandoned attempt late.
		c.net.kill(err)
	case r.code == codeUnimplemented, sent.op == opAddWatch && r.code != 0:
		// From before 3.6, or with a watch manager that has no recursive
		// watches (zookeeper.watchManagerName).
		c.d.servers.old(c.server, oldFor)
		c.net.kill(fmt.Errorf("the server refuses operation %d: %w", sent.op, err))
	}
}
