package ids

import "time"

// The layout of an ID.
const (
	nodeBits  = 10
	countBits = 12
	timeBits  = 41
	maxCount  = 1<<countBits - 1
	maxTime   = 1<<timeBits - 1
	// MaxNodes bounds node numbers, which begin at 0.
	MaxNodes = 1 << nodeBits
)

// Epoch is where the time of IDs begins. It lasts until the year 2095.
var Epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// ID is a time-ordered ID.
type ID uint64

// Time returns the ID's time, to the millisecond.
func (id ID) Time() time.Time {
	return Epoch.Add(time.Duration(id>>(nodeBits+countBits)) * time.Millisecond)
}

// Node returns the number of the node that handed the ID out.
func (id ID) Node() int { return int(id >> countBits & (MaxNodes - 1)) }

// moment is a time and a count: what a generator hands out next is the next moment.
type moment uint64

func momentOf(ms, count int64) moment { return moment(ms)<<countBits | moment(count) }

// ms returns the time of the moment, in milliseconds since Epoch.
func (m moment) ms() int64 { return int64(m >> countBits) }

// id returns the ID of the moment at a node.
func (m moment) id(node uint64) ID {
	return ID(m>>countBits<<(nodeBits+countBits)) | ID(node<<countBits) | ID(m&maxCount)
}
