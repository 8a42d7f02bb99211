package consul

import (
	"fmt"
	"time"

	"github.com/quorate/quorate/backend/driver"
)

// Defaults and bounds of Options.
const (
	defaultBlockingQueries = 32
	defaultWait            = 10 * time.Second
	maxWait                = time.Minute
)

// Options are the adapter's own options; nil and zero fields mean the defaults.
type Options struct {
	// Node is the node of the catalog that sessions hang on; by default that
	// of the agent which the client talks to. It must be registered: to name
	// one that is not is ErrInvalid. One that was there, and an agent's own,
	// are waited for: agents register themselves again.
	Node string

	// MaxBlockingQueries bounds the blocking queries, each with a connection
	// of its own, that are open at a time; 32 by default.
	MaxBlockingQueries int

	// Wait is how long a blocking query waits for a change; 10 s by default,
	// one minute at most. It bounds how long a watch may stay blind behind a
	// server that fell silent, and costs a request per watch each time.
	Wait time.Duration
}

func (o *Options) withDefaults() (Options, error) {
	var opts Options
	if o != nil {
		opts = *o
	}
	if opts.MaxBlockingQueries == 0 {
		opts.MaxBlockingQueries = defaultBlockingQueries
	}
	if opts.MaxBlockingQueries < 0 {
		return opts, fmt.Errorf("%w: Options.MaxBlockingQueries is negative", driver.ErrInvalid)
	}
	if opts.Wait == 0 {
		opts.Wait = defaultWait
	}
	if opts.Wait < 0 || opts.Wait > maxWait {
		return opts, fmt.Errorf("%w: Options.Wait is %v, at most %v is allowed", driver.ErrInvalid, opts.Wait, maxWait)
	}
	return opts, nil
}
