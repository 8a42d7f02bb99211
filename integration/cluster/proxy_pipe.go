package cluster

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// pipeLimit is how many bytes wait in a pipe before it stops reading, so that
// a receiver that does not read is felt by the sender, unless it is told to
// hold them.
const pipeLimit = 1 << 20

// flushTimeout bounds the wait for a receiver that does not read.
const flushTimeout = time.Second

// chunk is what was read at once.
type chunk struct {
	data []byte
	due  time.Time
}

// pipe carries one direction of a link: one goroutine reads from the source
// into the queue, one writes from the queue. The proxy's lock guards it.
type pipe struct {
	link      *link
	direction direction
	changed   *sync.Cond

	queue   []chunk
	queued  int64
	eof     bool // The source has sent its last.
	broken  bool // The source was reset.
	ended   bool // The end was delivered.
	dead    bool // The sink is gone.
	lost    bool // The pipe has dropped something.
	writing bool // A write is under way, without the lock.
	// flushing is how many bytes go out although the flow holds.
	flushing int64
}

func (p *pipe) source() *net.TCPConn { return p.link.conns[p.direction] }
func (p *pipe) sink() *net.TCPConn   { return p.link.conns[1-p.direction] }
func (p *pipe) flow() flow           { return p.link.proxy.flows[p.direction] }

// run starts the pipe. The lock is held.
func (p *pipe) run(proxy *Proxy) {
	source := p.source()
	proxy.done.Go(func() { p.read(source) })
	proxy.done.Go(p.write)
}

func (p *pipe) read(source *net.TCPConn) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := source.Read(buffer)
		if !p.push(buffer[:n], err) {
			return
		}
	}
}

// push queues what was read and waits while the queue is full.
func (p *pipe) push(data []byte, err error) bool {
	proxy := p.link.proxy
	proxy.mu.Lock()
	defer proxy.mu.Unlock()
	if p.link.closed {
		return false
	}
	if len(data) > 0 {
		due := proxy.due()
		if last := len(p.queue) - 1; last >= 0 && p.queue[last].due.After(due) {
			due = p.queue[last].due
		}
		p.queue = append(p.queue, chunk{data: bytes.Clone(data), due: due})
		p.add(int64(len(data)))
	}
	if err != nil {
		p.eof, p.broken = true, !errors.Is(err, io.EOF)
	}
	p.settle()
	for p.queued > pipeLimit && p.flow() == passing && !p.link.closed {
		p.changed.Wait()
	}
	return err == nil && !p.link.closed
}

// add counts bytes that wait.
func (p *pipe) add(n int64) {
	p.queued += n
	if p.direction == requests {
		p.link.proxy.stats.HeldRequests += n
	} else {
		p.link.proxy.stats.HeldReplies += n
	}
	p.link.proxy.changed.Broadcast()
}

// clear empties the queue.
func (p *pipe) clear(dropped bool) {
	if dropped && p.direction == requests {
		p.link.proxy.stats.DroppedRequests += p.queued
	} else if dropped {
		p.link.proxy.stats.DroppedReplies += p.queued
	}
	p.queue, p.flushing = nil, 0
	p.add(-p.queued)
}

// settle does what the flow demands of what waits, and wakes the pipe.
func (p *pipe) settle() {
	defer p.changed.Broadcast()
	flows := p.link.proxy.flows
	switch {
	case p.link.closed, p.writing: // What writes settles when it is done.
	case p.flow() == dropping:
		p.lost = p.lost || p.queued > 0 || p.eof && !p.ended
		p.clear(true)
	case p.lost, p.link.lost && flows[requests] != dropping && flows[replies] != dropping:
		p.link.reset()
	case p.dead:
		p.clear(true)
	}
}

// ready reports whether the writer may act, and how long it must wait if only
// time is missing.
func (p *pipe) ready() (bool, time.Duration) {
	if p.sink() == nil || p.ended || p.dead || p.flow() == dropping || p.flow() == holding && p.flushing == 0 {
		return false, 0
	}
	if len(p.queue) == 0 {
		return p.eof, 0
	}
	if p.flushing > 0 {
		return true, 0
	}
	wait := time.Until(p.queue[0].due)
	return wait <= 0, wait
}

func (p *pipe) write() {
	proxy := p.link.proxy
	proxy.mu.Lock()
	defer proxy.mu.Unlock()
	for !p.link.closed {
		ready, wait := p.ready()
		switch {
		case ready && len(p.queue) > 0:
			p.deliver()
		case ready:
			p.finish()
		case wait > 0:
			timer := time.AfterFunc(wait, func() {
				proxy.mu.Lock()
				defer proxy.mu.Unlock()
				p.changed.Broadcast()
			})
			p.changed.Wait()
			timer.Stop()
		default:
			p.changed.Wait()
		}
	}
}

// deliver writes the first chunk, without the lock. A change of mode
// interrupts it; what was not written then fares as the new mode says.
func (p *pipe) deliver() {
	proxy, data, sink := p.link.proxy, p.queue[0].data, p.sink()
	if p.flow() == holding && int64(len(data)) > p.flushing {
		data = data[:p.flushing]
	}
	_ = sink.SetWriteDeadline(time.Time{}) // A closed connection says so when written to.
	p.writing = true
	proxy.mu.Unlock()
	n, err := sink.Write(data)
	proxy.mu.Lock()
	p.writing = false
	p.changed.Broadcast()
	if p.link.closed {
		return
	}
	p.delivered(n)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		p.undeliverable()
	}
	p.settle()
}

// delivered takes n bytes off the queue.
func (p *pipe) delivered(n int) {
	if p.direction == requests && p.link.tap != nil {
		_, _ = p.link.tap.Write(p.queue[0].data[:n])
	}
	if n == len(p.queue[0].data) {
		p.queue = p.queue[1:]
	} else {
		p.queue[0].data = p.queue[0].data[n:]
	}
	p.flushing = max(0, p.flushing-int64(n))
	if p.direction == requests {
		p.link.proxy.stats.RequestBytes += int64(n)
	} else {
		p.link.proxy.stats.ReplyBytes += int64(n)
	}
	p.add(-int64(n))
}

// undeliverable handles a sink that is gone. Its peer learns of it as the mode
// lets it: at once, behind what is held for it, or not at all.
func (p *pipe) undeliverable() {
	p.dead = true
	p.clear(true)
	switch p.link.proxy.flows[1-p.direction] {
	case passing:
		p.link.reset()
	case holding:
		p.link.end()
	case dropping:
		p.link.lost = true
	}
}

// finish delivers the end of the source.
func (p *pipe) finish() {
	p.ended = true
	if p.broken && p.direction == replies {
		p.link.reset()
		return
	}
	// The end of requests is in order even if the client was reset: what it
	// sent before lands.
	if p.broken {
		p.link.pipes[replies].dead = true
	}
	_ = p.sink().CloseWrite() // If it is gone, reading from it says so.
	p.link.end()
}

// interrupt ends a write that is under way and waits for its end.
func (p *pipe) interrupt() {
	if p.flow() == passing {
		return
	}
	p.flushing = 0
	for p.writing && !p.link.closed && p.flow() != passing {
		_ = p.sink().SetWriteDeadline(time.Unix(1, 0)) // A closed one fails by itself.
		p.changed.Wait()
	}
}

// flush lets out what waits now, whatever the flow, and waits for that.
func (p *pipe) flush() {
	p.flushing = p.queued
	p.changed.Broadcast()
	deadline := time.Now().Add(flushTimeout)
	timer := time.AfterFunc(flushTimeout, func() {
		p.link.proxy.mu.Lock()
		defer p.link.proxy.mu.Unlock()
		p.changed.Broadcast()
	})
	defer timer.Stop()
	for p.flushing > 0 && !p.link.closed && p.sink() != nil && time.Now().Before(deadline) {
		p.changed.Wait()
	}
}
