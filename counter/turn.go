package counter

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/quorate/quorate/backend"
)

// If Counters of several processes all add without a pause, most of their
// commits are refused, and the process nearest to the store wins most of the
// others. So these Counters take turns. They form a ring, and the document says
// which writers are its members. A turn is a few commits, one right after the
// other.
//
// Turns decide only when a commit is sent, never whether it is applied. Each
// commit still depends on the version that it was made from. A process that
// ignores turns costs time, and nothing else.
//
//   - A Counter that was never refused commits at once, without a read.
//   - A Counter that was refused, and whose callers come again at once, joins
//     the ring with its next commit. The ring then stays open for a moment, so
//     that others that wait to join follow.
//   - The next turn is that of the member whose last commit is the oldest. The
//     others sleep until theirs is near. A member that lets its turn pass is
//     struck off.
//   - A Counter that finds after a pause that nobody else has written is alone
//     again.
const (
	// longestTurn bounds the commits of a turn. A read and a moment's wait
	// between two turns cost about one and a half commits.
	longestTurn = 16
	// cycleTime is the time in which each member has a turn. Turns get shorter
	// where many members or a slow store would make it longer.
	cycleTime = time.Second
	// A Counter that is alone pauses this often for a moment, to let others in.
	aloneFor = 500 * time.Millisecond

	// The following are multiples of the time of a commit.
	breather  = 2  // the pause after a turn, and how long the ring stays open
	grace     = 4  // how late a member may begin its turn
	maxAbsent = 4  // more members than that do not get their grace one by one
	maxWindow = 16 // of the pause after a refusal where there is no ring

	// joinAfter is how long an outsider waits at most until it competes at the
	// end of each turn.
	joinAfter = 300 * time.Millisecond
	// maxNap bounds a sleep before the document is read again.
	maxNap = 500 * time.Millisecond
	// longCommit bounds what counts as the time of a commit: one that takes
	// longer was held up by something else.
	longCommit = 250 * time.Millisecond
	minCommit  = time.Microsecond
)

// turn is the part of a document that arranges turns.
type turn struct {
	// Pace is how many microseconds a commit takes, smoothed over all writers.
	Pace int64 `json:"pace,omitempty"`
	// Left is how many commits the newest writer has left in its turn.
	Left int `json:"left,omitempty"`
	// Open: the newest writer has just joined the ring.
	Open bool `json:"open,omitempty"`
}

func (t *turn) pace() time.Duration { return time.Duration(t.Pace) * time.Microsecond }

// turns decides when a Counter may commit. It belongs to the worker.
type turns struct {
	writer string
	next   time.Time // no commit before
	look   bool      // the document is to be read before the next commit

	competes bool          // others write as well
	member   bool          // of the ring, by the document as it was seen last
	left     int           // commits in the own turn
	passed   []string      // members whose turn is taken, because they did not come
	since    time.Time     // when the batch began
	refusals int           // of the batch
	window   time.Duration // of the pause after a refusal where there is no ring

	// A Counter that is alone.
	run  int // commits since the last pause for others
	lone int // commits until the next one

	// steady: callers come again as soon as a commit has ended. It is assumed
	// at first, and again after two that did.
	steady bool
	quick  int

	commit time.Duration // how long a commit takes, smoothed
	took   time.Duration // how long the last one took
	ended  time.Time     // when the last one was applied

	seen   backend.Version // of the document
	seenAt time.Time       // for the first time
}

// smooth follows what gets faster quickly, and what gets slower slowly: a
// single commit that was held up says little.
func smooth(before, took time.Duration) time.Duration {
	switch {
	case before == 0:
		return took
	case took < before:
		return (before + took) / 2
	default:
		return before + (took-before)/16
	}
}

// begin notes that a batch begins.
func (t *turns) begin(now time.Time) {
	t.since, t.refusals = now, 0
	switch {
	case t.ended.IsZero():
		t.steady = true
		return
	case now.Sub(t.ended) < max(breather*t.commit, time.Millisecond):
		t.quick++
		t.steady = t.steady || t.quick > 1
	default:
		t.quick, t.steady = 0, false
	}
	if !t.steady {
		t.left, t.run, t.look = 0, 0, t.competes
	}
}

// mark writes into a document that is to be sent what it says about turns. The
// document has the turn of the one that it follows.
func (t *turns) mark(doc *counterDocument) {
	doc.Recent[0].Again = t.steady
	for i := range doc.Recent[1:] {
		if e := &doc.Recent[1+i]; slices.Contains(t.passed, e.Writer) {
			e.Again = false
		}
	}
	pace := doc.Turn.pace()
	doc.Turn = turn{}
	if !t.competes {
		return
	}
	switch {
	case pace == 0:
		pace = max(t.commit, minCommit)
	case !t.ended.IsZero():
		pace = smooth(pace, t.took)
	}
	doc.Turn.Pace = max(pace.Microseconds(), 1)
	switch {
	case !t.steady:
	case t.left > 0:
		doc.Turn.Left = t.left - 1
	case !t.member:
		doc.Turn.Open = true
	default:
		others, _, _ := doc.ring(t.writer)
		doc.Turn.Left = turnOf(others+1, pace) - 1
	}
}

// turnOf returns how many commits a turn has.
func turnOf(members int, pace time.Duration) int {
	const between = 1 // and more, but not much
	return min(max(int(cycleTime/(time.Duration(members)*pace))-between, 1), longestTurn)
}

// applied notes that a commit was, and what it made of the document.
func (t *turns) applied(started, now time.Time, doc *base) {
	t.took = min(max(now.Sub(started), minCommit), longCommit)
	if t.ended.IsZero() {
		t.commit = t.took
		if !t.competes {
			t.lone = int(aloneFor / t.commit)
		}
	}
	t.commit = smooth(t.commit, t.took)
	t.ended, t.seen, t.seenAt = now, doc.version, now
	t.window /= 2
	t.passed, t.member = nil, t.steady
	t.left = doc.Turn.Left
	switch {
	case t.competes:
		t.look = t.left == 0
	case t.run < t.lone:
		t.run++
		t.look = false
	default:
		t.run, t.look = 0, true
		t.lone = min(2*t.lone, int(aloneFor/t.commit))
	}
	if t.look {
		t.next = now.Add(breather * t.commit)
	}
}

// refused notes that a commit was, and by which document, if that is known.
func (t *turns) refused(started, now time.Time, doc *base) {
	t.took = min(max(now.Sub(started), minCommit), longCommit)
	if t.ended.IsZero() {
		t.commit = t.took
	}
	t.competes, t.left = true, 0
	t.refusals++
	if doc != nil {
		t.next = now.Add(t.pause(doc, now, true))
	}
	if t.competes {
		t.run, t.lone = 0, 0
	}
}

// pause returns how long to wait before a commit on a document that was read
// or that came with a refusal. Zero means that the turn has come.
func (t *turns) pause(doc *base, now time.Time, refused bool) time.Duration {
	if doc.version != t.seen {
		t.seen, t.seenAt = doc.version, now
	}
	t.look, t.passed = false, nil
	if !doc.exists() {
		return 0
	}
	others, ahead, member := doc.ring(t.writer)
	t.member = member
	mine := doc.Recent[0].Writer == t.writer
	if mine && ahead == 0 {
		t.competes, t.lone = false, max(t.lone, longestTurn) // nobody wanted the turn
		return 0
	}
	t.competes = t.competes || !mine && (others > 0 || !t.ended.IsZero())
	pace := doc.Turn.pace()
	if pace == 0 {
		pace = max(t.commit, minCommit)
	}
	still := now.Sub(t.seenAt)
	running := !mine && doc.Turn.Left > 0
	if !member {
		return t.outside(doc, others, running && still < grace*pace, pace, now, refused)
	}
	if doc.Turn.Open && ahead == 0 {
		return max(breather*pace-still, 0)
	}
	late := grace * pace * time.Duration(min(ahead, maxAbsent))
	if running {
		late += grace * pace
	}
	if still >= late {
		t.passed = doc.first(ahead)
		if running {
			t.passed = append(t.passed, doc.Recent[0].Writer)
		}
		return 0
	}
	wait := nap(ahead*(turnOf(others+1, pace)+1)+doc.Turn.Left, pace)
	if ahead <= 2 {
		wait = min(wait, late-still)
	}
	return wait
}

// outside is pause for who is not a member of the ring.
func (t *turns) outside(doc *base, others int, running bool, pace time.Duration, now time.Time, refused bool) time.Duration {
	switch {
	case others == 0 && refused:
		t.window = min(max(2*t.window, t.took), maxWindow*t.took)
		return max(rand.N(t.window+1)-t.took, 0)
	case others == 0:
		return 0
	case running && rand.N(joinAfter) > now.Sub(t.since):
		return time.Duration(doc.Turn.Left+turnOf(others, pace)) * pace
	case running:
		return time.Duration(doc.Turn.Left)*pace + rand.N(breather*pace)
	case refused && t.refusals > 1:
		return rand.N(time.Duration(min(2+2*t.refusals, maxWindow)) * max(pace, t.took))
	}
	return 0
}

// nap returns how long to sleep before the document is read again, if the turn
// comes after so many commits.
func nap(commits int, pace time.Duration) time.Duration {
	return min(max(time.Duration(commits)*pace*4/5, pace*2/5), maxNap)
}

// ring returns how many other members the ring has that may have the next
// turn, how many of them come before writer, and whether writer is a member.
func (d *counterDocument) ring(writer string) (others, ahead int, member bool) {
	for i, e := range slices.Backward(d.Recent) {
		switch {
		case e.Writer == writer:
			ahead, member = others, e.Again
		case e.Again && (i > 0 || d.Turn.Left == 0):
			others++
		}
	}
	return others, ahead, member
}

// first returns the members that have the next n turns.
func (d *counterDocument) first(n int) []string {
	var writers []string
	for _, e := range slices.Backward(d.Recent) {
		if e.Again && len(writers) < n {
			writers = append(writers, e.Writer)
		}
	}
	return writers
}
