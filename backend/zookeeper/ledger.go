package zookeeper

import (
	"sync"
	"time"
)

// ledger lists the requests on one connection that were acknowledged, as far
// back as they matter to what a renewal may be credited with.
type ledger struct {
	mu     sync.Mutex
	acks   []ack
	last   time.Time     // when the newest of all began
	proved time.Time     // what a quorum has confirmed: the session lives a timeout from then
	news   chan struct{} // closed with the next proof
}

// ack is a request that the server answered: it heard of the session at some
// moment in between.
type ack struct{ began, ended time.Time }

func (l *ledger) add(began time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acks = append(l.acks, ack{began, time.Now()})
	if began.After(l.last) {
		l.last = began
	}
}

// newest returns when the newest acknowledged request began.
func (l *ledger) newest() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

// prove notes that a quorum answered what was asked when credited was known.
func (l *ledger) prove(credited time.Time) {
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
func (l *ledger) proof() (credited time.Time, next <-chan struct{}) {
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
func (l *ledger) credit(now time.Time, tick time.Duration) (began time.Time, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var newest ack
	kept := l.acks[:0]
	for _, a := range l.acks {
		switch {
		case now.Sub(a.ended) < tick:
			kept = append(kept, a)
		case a.began.After(newest.began):
			newest, ok = a, true
		}
	}
	if ok {
		kept = append(kept, newest)
	}
	l.acks = kept
	return newest.began, ok
}

// age is how long ago t was: by the monotonic clock or by the wall clock,
// whichever says longer, for a suspended machine stops the former.
func age(now, t time.Time) time.Duration {
	return max(now.Sub(t), now.Round(0).Sub(t.Round(0)))
}
