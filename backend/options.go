package backend

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/quorate/quorate/backend/driver"
)

// Defaults and bounds of Options.
const (
	DefaultNamespace = "quorate"
	DefaultTTL       = 10 * time.Second
	MinTTL           = time.Second
	minMargin        = 100 * time.Millisecond
	defaultTimeout   = 5 * time.Second
	maxNamespace     = 64
)

// Options are the options of a Store; nil and zero fields mean
// the defaults.
type Options struct {
	// Namespace is the directory all keys of this Store lie in, "quorate" by
	// default: one or more components of letters, digits and "-._~%", joined by
	// slashes, 64 bytes at most. Stores see each other if and only if they
	// share it.
	Namespace string

	// TTL is how long the store waits after the last sign of a process before
	// it gives that process's ownerships to others (default 10 s, minimum 1 s).
	// The store may grant a longer one. A process that is cut off stops acting
	// before the TTL is over. So with a shorter TTL a process also gives up
	// sooner in an outage.
	TTL time.Duration

	// Margin is subtracted from the TTL in what this process grants itself
	// (default a tenth of the TTL granted, minimum 100 ms). It covers the
	// difference in speed of two clocks over a TTL. It also covers the time
	// from the end of a context until the code under it has stopped. The
	// maximum is half of TTL, and on ZooKeeper half of the part of TTL beyond a
	// tick.
	Margin time.Duration

	// CallTimeout bounds a single call to the store with its retries, if its
	// context does not end earlier (default 5 s). It does not bound calls that
	// wait for something: docs/calls.md lists both kinds.
	CallTimeout time.Duration

	// CloseTimeout bounds Close; 5 s by default.
	CloseTimeout time.Duration

	// Logger receives what an operator should know (default: slog.Default() when
	// the Store is created). To discard it, set slog.New(slog.DiscardHandler).
	Logger *slog.Logger

	// Trace is called back on what happens; nil, and nil fields, are good.
	Trace *Trace
}

// withDefaults returns a copy that has every field set, or what is wrong.
func (o *Options) withDefaults() (Options, error) {
	var opts Options
	if o != nil {
		opts = *o
	}
	if opts.Namespace == "" {
		opts.Namespace = DefaultNamespace
	}
	if err := driver.CheckPath(opts.Namespace); err != nil {
		return opts, fmt.Errorf("Options.Namespace: %w", err)
	}
	if len(opts.Namespace) > maxNamespace {
		return opts, fmt.Errorf("%w: Options.Namespace has %d bytes, at most %d are allowed", ErrInvalid, len(opts.Namespace), maxNamespace)
	}
	if opts.TTL == 0 {
		opts.TTL = DefaultTTL
	}
	if opts.TTL < MinTTL {
		return opts, fmt.Errorf("%w: Options.TTL is %v, at least %v is needed", ErrInvalid, opts.TTL, MinTTL)
	}
	if opts.Margin < 0 || opts.Margin > opts.TTL/2 {
		return opts, fmt.Errorf("%w: Options.Margin is %v, at most half the TTL of %v is allowed", ErrInvalid, opts.Margin, opts.TTL)
	}
	for name, d := range map[string]*time.Duration{"CallTimeout": &opts.CallTimeout, "CloseTimeout": &opts.CloseTimeout} {
		if *d == 0 {
			*d = defaultTimeout
		}
		if *d < 0 {
			return opts, fmt.Errorf("%w: Options.%s is negative", ErrInvalid, name)
		}
	}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	if opts.Trace == nil {
		opts.Trace = new(Trace)
	}
	return opts, nil
}

// margin is what is taken off a window of a session granted with ttl.
func (o *Options) margin(ttl time.Duration) time.Duration {
	if o.Margin > 0 {
		return o.Margin
	}
	return max(ttl/10, minMargin)
}
