package postgres

import (
	"fmt"
	"regexp"
	"time"

	"github.com/quorate/quorate/backend/driver"
)

// Defaults and bounds of Options.
const (
	// DefaultSchema is the schema that the tables lie in.
	DefaultSchema = "quorate"
	minPoll       = 10 * time.Millisecond
	maxPoll       = time.Minute
)

// Options are the adapter's own options; nil and zero fields mean the defaults.
type Options struct {
	// Schema is the schema that Migrate made, "quorate" by default: lower-case
	// letters, digits and underscores, 63 at most, and no word that SQL
	// reserves. Stores of different schemas know nothing of each other.
	Schema string

	// Poll makes watches read again at this interval (minimum 10 ms, maximum
	// 1 min), instead of waiting for notifications on a connection of their
	// own. Set it where connections go through PgBouncer in transaction mode:
	// notifications do not come through there.
	Poll time.Duration
}

var schemaName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}$`)

func (o *Options) withDefaults() (Options, error) {
	var opts Options
	if o != nil {
		opts = *o
	}
	if opts.Schema == "" {
		opts.Schema = DefaultSchema
	}
	if !schemaName.MatchString(opts.Schema) {
		return opts, fmt.Errorf("%w: Options.Schema is %q", driver.ErrInvalid, opts.Schema)
	}
	if opts.Poll != 0 && (opts.Poll < minPoll || opts.Poll > maxPoll) {
		return opts, fmt.Errorf("%w: Options.Poll is %v, it must be from %v to %v", driver.ErrInvalid, opts.Poll, minPoll, maxPoll)
	}
	return opts, nil
}
