package zookeeper

import (
	"sync"
	"time"
)

// ackLog lists the requests on one connection that were acknowledged, as far
// back as they matter to what a renewal may be credited with: those of the last
// tick, and the newest from before.
type ackLog struct {
	tick time.Duration

	mu     sync.Mutex
	acks   []ack         // in the order of ended
	last   time.Time     // when the newest of all began
	proved time.Time     // what a quorum has confirmed: the session lives a timeout from then
	news   chan struct{} // closed with the next proof
}

// ack is a request that the server answered: it heard of the session at some
// moment in between.
type ack struct{ began, ended time.Time }

func (l *ackLog) add(began time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.acks = append(l.acks, ack{began, now})
	l.forget(now)
	if began.After(l.last) {
		l.last = began
	}
}

// forget drops what no credit can come from any more. The lock is held.
func (l *ackLog) forget(now time.Time) {
	for len(l.acks) > 1 && now.Sub(l.acks[1].ended) >= l.tick {
		if l.acks[0].began.After(l.acks[1].began) {
			l.acks[1] = ack{l.acks[0].began, l.acks[1].ended}
		}
		l.acks = l.acks[1:]
	}
}

// newest returns when the newest acknowledged request began.
func (l *ackLog) newest() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

// prove notes that a quorum answered what was asked when credited was known.
func (l *ackLog) prove(credited time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if credited.After(l.proved) {
		l.proved = credited
	}
	if l.news != nil {
		close(l.news)
		l.news = nil
	}
}

// proof returns what is proved, and what is closed with the next proof.
func (l *ackLog) proof() (credited time.Time, next <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.news == nil {
		l.news = make(chan struct{})
	}
	return l.proved, l.news
}

// credit returns when the newest request began that was acknowledged at least
// one tick before now. The follower that acknowledged it has told the leader
// since.
func (l *ackLog) credit(now time.Time) (began time.Time, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forget(now)
	if len(l.acks) == 0 || now.Sub(l.acks[0].ended) < l.tick {
		return time.Time{}, false
	}
	return l.acks[0].began, true
}

// age is how long ago t was: by the monotonic clock or by the wall clock,
// whichever says longer, for a suspended machine stops the former.
func age(now, t time.Time) time.Duration {
	return max(now.Sub(t), now.Round(0).Sub(t.Round(0)))
}
