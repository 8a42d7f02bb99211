package simulation

import (
	"context"
	"encoding/json"
	"errors"
	"maps"

	"github.com/quorate/quorate/backend"
)

// counted checks the Counter. Each add is of one, so that in one history of the
// store results are distinct, and the value lies between what was acknowledged
// and what may have been applied.
type counted struct {
	value    int64 // as the store has it
	base     int64 // what it was when this history began
	acked    int64 // adds of this history
	doubt    int64 // adds of any history that may be in the value or not
	underWay int64
	results  map[int64]bool
	highest  int64 // result that was acknowledged
	epoch    int
	total    int // acknowledged, in all
}

type add struct {
	floor int64
	epoch int
}

func (c *counted) begin() add {
	c.underWay++
	return add{floor: c.highest, epoch: c.epoch}
}

// end notes what came of an add.
func (c *counted) end(ctx context.Context, s *simulation, a add, result int64, err error) {
	c.underWay--
	switch {
	case err == nil && a.epoch == c.epoch:
		if c.results[result] {
			s.t.Errorf("two adds returned %d", result)
		}
		if result <= a.floor || result > c.value {
			s.t.Errorf("an add returned %d; %d was returned before it began, and the value is %d", result, a.floor, c.value)
		}
		c.results[result] = true
		c.highest = max(c.highest, result)
		c.acked++
		c.total++
	case err == nil, errors.Is(err, backend.ErrIndeterminate):
		// What was sent on a document from before a wipe or restore may be in doubt
		// for good: the document does not tell.
		c.doubt++
		if err != nil && ctx.Err() == nil && s.holds(nothingLost) {
			s.t.Errorf("an add that nobody gave up is in doubt: %v", err)
		}
	case ctx.Err() == nil && !errors.Is(err, backend.ErrClosed):
		s.t.Errorf("an add failed: %v", err)
	}
	c.check(s)
}

// check holds the value to its bounds.
func (c *counted) check(s *simulation) {
	low, high := c.base+c.acked, c.base+c.acked+c.doubt+c.underWay
	if c.value < low || c.value > high {
		s.t.Errorf("the counter is %d; %d + %d were acknowledged, %d are in doubt and %d under way", c.value, c.base, c.acked, c.doubt, c.underWay)
	}
}

// landed notes a commit of the document.
func (c *counted) landed(s *simulation, document []byte) {
	value := valueOf(s, document)
	if value <= c.value {
		s.t.Errorf("the counter goes from %d to %d", c.value, value)
	}
	c.value = value
	c.check(s)
}

// undone puts the checker back to what a backup has.
func (c *counted) undone(value int64) {
	c.value, c.base, c.acked, c.highest = value, value, 0, 0
	c.results = make(map[int64]bool)
	c.epoch++
}

func valueOf(s *simulation, document []byte) int64 {
	var doc struct{ Value int64 }
	if err := json.Unmarshal(document, &doc); err != nil {
		s.t.Errorf("a counter's document is %q: %v", document, err)
	}
	return doc.Value
}

// tallied checks the Tally. Adds are of one here too.
type tallied struct {
	shards map[string]int64
	base   int64
	epoch  int
	flush  int // acknowledged
}

// sums are what one process has added.
type sums struct {
	added, flushed int64
	// before is what was added at the second flush of this history. The first may
	// have been acknowledged in the one before, and what is sent next be lost with
	// a document that does not tell any more; what is sent after that is not.
	before int64
	reset  int // so many of the two are to come
}

// flush notes that a flush was acknowledged that began when added was added.
func (p *sums) flush(added int64) {
	p.flushed = max(p.flushed, added)
	if p.reset > 0 && p.flushed > p.before {
		p.before = p.flushed
		p.reset--
	}
}

func (c *tallied) total() (sum int64) {
	for _, value := range c.shards {
		sum += value
	}
	return sum
}

func (c *tallied) landed(s *simulation, shard string, document []byte) {
	value := valueOf(s, document)
	if value <= c.shards[shard] {
		s.t.Errorf("the shard %s goes from %d to %d", shard, c.shards[shard], value)
	}
	c.shards[shard] = value
	c.check(s)
}

// check holds the total to what was added, and to what was flushed.
func (c *tallied) check(s *simulation) {
	low, high := c.base, int64(0)
	for _, p := range s.procs {
		low += max(0, p.sums.flushed-p.sums.before)
		high += p.sums.added
	}
	if total := c.total(); total < low || total > high {
		s.t.Errorf("the tally is %d; %d were flushed and %d added", total, low, high)
	}
}

func (c *tallied) undone(s *simulation, shards map[string]int64) {
	c.shards = maps.Clone(shards)
	if c.shards == nil {
		c.shards = make(map[string]int64)
	}
	c.base = c.total()
	c.epoch++
	for _, p := range s.procs {
		p.sums.flushed, p.sums.before, p.sums.reset = 0, 0, 2
	}
}

// numbered checks the Sequence.
type numbered struct {
	issued map[uint64]string // by whom
	fixed  map[uint64]string // issued before the backup that was restored
	total  int
}

// take notes a number, which is above the last of its process.
func (n *numbered) take(s *simulation, p *process, number, last uint64) {
	n.total++
	if number <= last {
		s.t.Errorf("%s got the number %d after %d", p.id, number, last)
	}
	by, twice := n.issued[number]
	if !s.holds(numbersUnique) {
		by, twice = n.fixed[number]
	}
	if twice {
		s.t.Errorf("the number %d was issued to %s and to %s", number, by, p.id)
	}
	n.issued[number] = p.id
}
