package schedule

import (
	"context"
	"fmt"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/election"
	"github.com/quorate/quorate/restart"
)

// Ticks says when jobs run. The schedules of github.com/robfig/cron/v3 are Ticks.
type Ticks interface {
	// Next returns the first tick after t, or the zero time if there is none. It
	// always returns the same for the same t. The time zone of t is time.Local.
	Next(t time.Time) time.Time
}

// Every returns ticks that are period apart, at multiples of it since the zero
// time in UTC.
func Every(period time.Duration) Ticks { return every(period) }

type every time.Duration

func (e every) Next(t time.Time) time.Time {
	if e <= 0 {
		return time.Time{}
	}
	return t.Truncate(time.Duration(e)).Add(time.Duration(e))
}

// Missed says what becomes of ticks whose time has passed.
type Missed int

const (
	// RunLatest runs the latest of the missed ticks, and skips those before it.
	RunLatest Missed = iota
	// RunAll runs all missed ticks, one after the other.
	RunAll
	// Skip runs none.
	Skip
)

// Options are the options of a Schedule; nil means the defaults. All
// processes that run the schedule have the same Options.
type Options struct {
	// AtLeastOnce runs a job again that was begun and is not known to have
	// returned (default: each job is begun at most once).
	AtLeastOnce bool
	// Missed says what becomes of missed ticks (default RunLatest).
	Missed Missed
	// Election are the options of the election.
	Election *election.Options
}

// Tick is what a job is run for.
type Tick struct {
	// Time is when the job was due.
	Time time.Time
	// Again: the job was begun before, and is not known to have returned.
	Again bool
	// Term is the fencing token: a later leader's is higher.
	Term uint64
	// Guard makes commits to the same Store depend on the leadership.
	Guard backend.Guard
}

// Schedule is one process's part in a named schedule. It does not need to be
// closed.
type Schedule struct {
	store    *backend.Store
	label    backend.Subject
	ticks    Ticks
	opts     Options
	election *election.Election
	progress *restart.Checkpoint[progress]
}

// progress is what the leader saves.
type progress struct {
	Tick time.Time `json:"tick"`
	// Begun: the job may have been begun, and is not known to have returned. It is
	// only set with AtLeastOnce.
	Begun bool `json:"begun,omitempty"`
}

// New returns the schedule of a name, any text of 1 to 91 bytes. It does no I/O.
// It uses the election and the checkpoint of the name "schedule/" and that name.
// Arguments that make no sense are backend.ErrInvalid or ErrTooLarge.
func New(store *backend.Store, name string, ticks Ticks, options *Options) (*Schedule, error) {
	s := &Schedule{store: store, label: backend.Subject{Kind: backend.KindSchedule, Name: name}, ticks: ticks}
	if options != nil {
		s.opts = *options
	}
	switch {
	case name == "":
		return nil, fmt.Errorf("schedule: %w: the name is empty", backend.ErrInvalid)
	case ticks == nil:
		return nil, fmt.Errorf("%s: %w: the ticks are nil", s.label, backend.ErrInvalid)
	case s.opts.Missed < RunLatest || s.opts.Missed > Skip:
		return nil, fmt.Errorf("%s: %w: Options.Missed is %d", s.label, backend.ErrInvalid, s.opts.Missed)
	}
	if period, ok := ticks.(every); ok && period <= 0 {
		return nil, fmt.Errorf("%s: %w: the period is %v", s.label, backend.ErrInvalid, time.Duration(period))
	}
	var err error
	if s.election, err = election.New(store, "schedule/"+name, s.opts.Election); err != nil {
		return nil, fmt.Errorf("%s: %w", s.label, err)
	}
	if s.progress, err = restart.NewCheckpoint[progress](store, "schedule/"+name, nil); err != nil {
		return nil, fmt.Errorf("%s: %w", s.label, err)
	}
	return s, nil
}

// Name returns the name of the schedule.
func (s *Schedule) Name() string { return s.label.Name }

// Election returns the election whose leader runs the jobs, to observe it.
func (s *Schedule) Election() *election.Election { return s.election }

// Run campaigns, and runs job for each tick while this process leads, until ctx
// ends. It always waits for job to return. The context of job ends when ctx does,
// and when the leadership does.
//
// An error of job is logged and traced, and does not end Run. While the store is
// unavailable Run waits.
//
// Errors: the cause of ctx; election.ErrCampaigning if this Schedule runs already;
// backend.ErrInvalid for a nil job; ErrDenied, ErrFormat, ErrClosed. If Next returns
// a tick that is not after its argument the error is backend.ErrInvalid.
func (s *Schedule) Run(ctx context.Context, job func(context.Context, Tick) error) error {
	if job == nil {
		return fmt.Errorf("%s: %w: the job is nil", s.label, backend.ErrInvalid)
	}
	err := s.election.Run(ctx, func(ctx context.Context, lead *election.Leadership) error {
		return s.lead(ctx, lead, job)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", s.label, err)
	}
	return nil
}
