package quota

import "time"

// share is what this process has reserved of a window.
type share struct {
	start int64 // of the window
	left  int64 // reserved and not handed out
	given int64 // handed out
}

// outcome is what a share says to a call.
type outcome int

const (
	ask outcome = iota // the store has to be asked
	yes
	no
)

// try takes n units from the share. It says no if the process knows that the
// window does not have as many.
func (q *Quota) try(n int64) (o outcome, window int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	start := q.present(q.wall())
	q.enter(start)
	switch {
	case q.share.left >= n:
		q.share.left -= n
		q.share.given += n
		return yes, start
	case q.seen.Start == start && q.share.left+q.limit-q.seen.Used < n:
		return no, start
	}
	return ask, start
}

// enter drops the share of a window that is over. The mutex is held.
func (q *Quota) enter(start int64) {
	if q.share.start != start {
		q.share = share{start: start}
	}
}

// own returns the window that the clock of this process shows.
func (q *Quota) own(now time.Time) int64 {
	ms := q.window.Milliseconds()
	return now.UnixMilli() / ms * ms
}

// present returns the window it is: that of the clock of this process or that of
// the document, whichever is later. Where that of the document is later, it is
// over once this process has seen it for its length. The mutex is held.
func (q *Quota) present(now time.Time) int64 {
	own := q.own(now)
	switch {
	case own >= q.seen.Start:
		return own
	case time.Since(q.since) >= q.window:
		return q.seen.Start + q.window.Milliseconds()
	}
	return q.seen.Start
}

// note notes a state of the document. The mutex is held.
func (q *Quota) note(s state) {
	s = later(q.seen, s)
	if s.Start != q.seen.Start {
		q.since = time.Now()
	}
	q.seen = s
}

// size returns how many units to reserve for a call that takes n. The mutex is
// held.
func (q *Quota) size(n, remaining int64) int64 {
	need := n - q.share.left
	return min(max(need, min(q.share.given, remaining/8, q.maxShare)), remaining)
}
