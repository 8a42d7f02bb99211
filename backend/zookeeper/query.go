package zookeeper

import "sync/atomic"

const (
	// maxBatch and minBatch bound the nodes that one request asks for. It
	// begins with the maximum, and is reduced when an answer exceeds maxFrame.
	maxBatch = 1024
	minBatch = 16
	// maxRequestBytes bounds a request, well below the servers' jute.maxbuffer.
	maxRequestBytes = 256 << 10
)

// readSizes knows how many nodes to ask for in one request.
type readSizes struct{ shrunk atomic.Int32 }

func (s *readSizes) shrink() { s.shrunk.Add(1) }

func (s *readSizes) batch() int { return max(maxBatch>>min(3*s.shrunk.Load(), 30), minBatch) }

// split divides paths over requests.
func (s *readSizes) split(paths []string) [][]string {
	var batches [][]string
	begin, size, most := 0, 0, s.batch()
	for i, path := range paths {
		n := dataRequestBytes(path)
		if i > begin && (i-begin == most || size+n > maxRequestBytes) {
			batches = append(batches, paths[begin:i])
			begin, size = i, 0
		}
		size += n
	}
	if begin < len(paths) {
		batches = append(batches, paths[begin:])
	}
	return batches
}

// query asks for the data of nodes.
type query struct {
	requests []request
	sizes    []int // of the nodes that each asks for together; 0 is opGetData for one
}

// query uses as few requests as the server allows.
func (c *conn) query(paths []string) query {
	var q query
	if c.modern && len(paths) > 1 {
		for _, batch := range c.d.reads.split(paths) {
			q.requests = append(q.requests, dataRequest(batch))
			q.sizes = append(q.sizes, len(batch))
		}
		return q
	}
	for _, path := range paths {
		q.requests = append(q.requests, pathRequest(opGetData, path, false))
		q.sizes = append(q.sizes, 0)
	}
	return q
}

// nodes takes the answers.
func (q query) nodes(replies []reply) ([]node, error) {
	var nodes []node
	for i, size := range q.sizes {
		if size == 0 {
			n, err := replies[i].node()
			if err != nil {
				return nil, err
			}
			nodes = append(nodes, n)
			continue
		}
		some, err := replies[i].nodes(size)
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, some...)
	}
	return nodes, nil
}
