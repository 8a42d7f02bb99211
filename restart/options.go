package restart

import (
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/quorate/quorate/backend"
)

// Defaults of Options: together they fit the 30 s that Kubernetes grants a pod
// by default. Docker grants 10 s unless it is told otherwise.
const (
	DefaultDrainTimeout = 20 * time.Second
	DefaultCloseTimeout = 6 * time.Second
)

// Options are the options of Run; nil means the defaults, as does the zero
// value of each field.
type Options struct {
	// Health is told when the process drains: it is not ready from then on.
	Health *Health

	// ReadyDelay is how long the work continues after readiness went off, so
	// that senders of requests can notice (default 0; take 5 s behind a
	// Kubernetes Service).
	ReadyDelay time.Duration

	// DrainTimeout is how long the work may take from the end of its context
	// until it has returned; 20 s by default.
	DrainTimeout time.Duration

	// Close is closed once the work has returned, one after the other in this
	// order: a Tally before its Store, the Stores last. It is not closed if the
	// work overran, or is cut short by a second signal.
	Close []io.Closer

	// CloseTimeout bounds the closing of all of Close together (default 6 s, a
	// second more than a Store takes by its own default).
	CloseTimeout time.Duration

	// Logger is told when the process drains and why it ended; nil means
	// slog.Default(), since a process must not end without a word.
	Logger *slog.Logger
}

// withDefaults returns a copy that has every field set, or what is wrong.
func (o *Options) withDefaults() (Options, error) {
	var opts Options
	if o != nil {
		opts = *o
	}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	if opts.Health == nil {
		opts.Health = new(Health)
	}
	for i, c := range opts.Close {
		if c == nil {
			return opts, fmt.Errorf("%w: Options.Close[%d] is nil", backend.ErrInvalid, i)
		}
	}
	for _, d := range []struct {
		name  string
		value *time.Duration
		byDef time.Duration
	}{
		{"ReadyDelay", &opts.ReadyDelay, 0},
		{"DrainTimeout", &opts.DrainTimeout, DefaultDrainTimeout},
		{"CloseTimeout", &opts.CloseTimeout, DefaultCloseTimeout},
	} {
		if *d.value < 0 {
			return opts, fmt.Errorf("%w: Options.%s is negative", backend.ErrInvalid, d.name)
		}
		if *d.value == 0 {
			*d.value = d.byDef
		}
	}
	return opts, nil
}
