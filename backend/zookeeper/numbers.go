package zookeeper

import "sync"

// firstNumber is the first of the adapter's own request numbers. The client's are
// below it.
const firstNumber = 1 << 30

// numbers are the request numbers of a session. They continue from one connection to
// the next.
//
// A server finds the request to which a commit is the answer by the session and the
// number. It may get the commit of an old connection's request when the new
// connection's is waiting: the server lags, or the old request was still under way.
// If both had one number, the new request would get the old one's outcome.
type numbers struct {
	mu     sync.Mutex // guards the fields below
	client int32      // the last that a client used, on any connection
	own    int32      // the last that the adapter used
}

func newNumbers() *numbers { return &numbers{own: firstNumber - 1} }

// next returns the next of the adapter's own numbers. After 2^30 requests they begin
// anew.
func (n *numbers) next() int32 {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.own++; n.own < firstNumber {
		n.own = firstNumber
	}
	return n.own
}

// clients returns the last number that a client used.
func (n *numbers) clients() int32 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.client
}

// used notes that a client uses a number. It reports false after 2^30 requests: then
// they begin anew, with the next client.
func (n *numbers) used(number int32) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if number <= 0 || number >= firstNumber {
		n.client = 0
		return false
	}
	n.client = max(n.client, number)
	return true
}
