package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/quorate/quorate/integration/harness"
)

// Config says what to measure.
type Config struct {
	// Stores and Rows are names; none means all.
	Stores, Rows []string
	// Rounds is how often what takes seconds is measured; what takes
	// milliseconds is measured more often in proportion.
	Rounds int
	// Smoke measures next to nothing, to see that it can be done.
	Smoke bool
	// Progress is told what is measured, as it is.
	Progress io.Writer
}

// row is a kind of figures, measured on each store.
type row struct {
	name, title, about string
	measure            func(context.Context, *lab) ([]line, error)
	// alone: it needs no server.
	alone bool
	// leaves: so much is left behind that the next row gets another cluster.
	leaves bool
}

// rowLimit bounds what a row takes, and rowGrace how long it may take to stop.
// What does not stop is left where it is, and the next row gets a cluster of
// its own.
const (
	rowLimit = 6 * time.Minute
	rowGrace = 20 * time.Second
)

var rows = []row{
	{
		name: "office", title: "Free office", measure: office,
		about: "A process takes an office that nobody else wants. It has an open session, and had the office before. On ZooKeeper all " +
			"clients use the same server.",
	},
	{
		name: "seen", title: "Change seen", measure: changesSeen,
		about: "From the call that changes a key until a watch in another process shows it. On PostgreSQL also with `Options.Poll`, as " +
			"behind PgBouncer.",
	},
	{
		name: "handover", title: "Hand-over", measure: handovers, leaves: true,
		about: "From the holder's call that gives up until the next candidate's call returns. The candidates are in 32 processes at most. " +
			"Requests are counted by proxies until no more come, less those of the same time at rest.",
	},
	{
		name: "mutex", title: "Free mutex", measure: freeMutex,
		about: "A process takes a mutex that nobody else wants, and gives it back. It has an open session, and had the mutex before.",
	},
	{
		name: "permit", title: "Free permit", measure: freePermit,
		about: "The same with a semaphore of 4 permits.",
	},
	{
		name: "mutexhandover", title: "Hand-over of a mutex", measure: mutexHandovers, leaves: true,
		about: "Measured as the hand-over of an election.",
	},
	{
		name: "permithandover", title: "Hand-over of a permit", measure: permitHandovers, leaves: true,
		about: "The same with a semaphore of 4 permits, of which three stay with their holders.",
	},
	{
		name: "herd", title: "Joining at once", measure: herds, leaves: true,
		about: "Candidates in 32 processes, with open sessions, join one election at the same moment. Requests are counted until all " +
			"but the leader wait.",
	},
	{
		name: "crash", title: "Crash", measure: crashes,
		about: "The leader's connections are cut, and one candidate waits. The TTL is 2 s. Ours and the stock leader crash at the same " +
			"moment. The second line begins when a third process sees by a bare watch that the office is free. It can be negative, because " +
			"the next leader may see it earlier.",
	},
	{
		name: "rest", title: "At rest", measure: rest, leaves: true,
		about: "One process has elections in which it waits for another process's leader, groups that it has joined, and counters that " +
			"it has used. Requests are counted at the servers, for two TTLs.",
	},
	{
		name: "counter", title: "Counter", measure: counters,
		about: "Increments of one counter. The stock way is not exact when replies are lost; Quorate is. On ZooKeeper each of our " +
			"processes uses the same server as one of the stock processes.",
	},
	{
		name: "members", title: "Membership", measure: members, leaves: true,
		about: "All members are in this process, in 20 Stores at most. One Store is behind a proxy that counts. Its figures per change " +
			"include the renewals of that time.",
	},
	{
		name: "crowd", title: "Many members at rest", measure: crowdAtRest, leaves: true,
		about: "The members of one group in 20 processes when nothing changes. Requests are counted at the servers for ten seconds. The " +
			"TTL is 10 s.",
	},
	{
		name: "slots", title: "Rebalance", measure: rebalances,
		about: "Four workers share the slots, and a fifth one joins. Its time includes `Settle`, half a second to a second, and its " +
			"first connection.",
	},
	{
		name: "storm", title: "Reconnect", measure: storms, leaves: true,
		about: "All connections are reset at the same moment. Each process is a member of one group and watches it. One more member, " +
			"whose connections stay, changes its entry at that moment. Requests include pings.",
	},
	{
		name: "local", title: "Without a store", measure: local, alone: true,
		about: "On the memory store. `go test -bench . ./counter ./partition ./membership ./election` measures the same.",
	},
}

// Rows are the names of what can be measured.
func Rows() []string {
	var names []string
	for _, r := range rows {
		names = append(names, r.name)
	}
	return names
}

// aloneStore is where rows are measured that need no server.
const aloneStore = "memory"

// Stores are the names of the stores, in order.
func Stores() []string { return harness.Names }

// outcome is what came of a row on a store.
type outcome struct {
	row   row
	store string
	lines []line
	err   error
	took  time.Duration
}

// Report is what was measured.
type Report struct {
	config   Config
	began    time.Time
	took     time.Duration
	versions []string
	outcomes []outcome
}

// Run measures. What fails is in the report; the error says that arguments make
// no sense, or that some rows failed.
func Run(ctx context.Context, config Config) (*Report, error) {
	if config.Rounds == 0 {
		config.Rounds = 5
	}
	if config.Rounds < 0 {
		return nil, fmt.Errorf("rounds: %d", config.Rounds)
	}
	chosen, err := choose(config.Rows, Rows())
	if err != nil {
		return nil, fmt.Errorf("rows: %w", err)
	}
	stores, err := choose(config.Stores, Stores())
	if err != nil {
		return nil, fmt.Errorf("stores: %w", err)
	}
	r := &Report{config: config, began: time.Now()}
	scale := full(config.Rounds)
	if config.Smoke {
		scale = smoke
	}
	var names atomic.Int64
	for _, name := range stores {
		b := &benchmark{report: r, scale: scale, names: &names, store: harness.Stores[name]}
		for _, row := range rows {
			if slices.Contains(chosen, row.name) && !row.alone {
				b.do(ctx, row)
			}
		}
		b.stop()
	}
	for _, row := range rows {
		if slices.Contains(chosen, row.name) && row.alone {
			b := &benchmark{report: r, scale: scale, names: &names, store: harness.Store{Name: aloneStore}}
			b.do(ctx, row)
		}
	}
	r.took = time.Since(r.began)
	var errs []error
	for _, o := range r.outcomes {
		if o.err != nil {
			errs = append(errs, fmt.Errorf("%s on %s: %w", o.row.name, o.store, o.err))
		}
	}
	return r, errors.Join(errs...)
}

// choose returns what was asked for, in the order of all; all if nothing was.
func choose(asked, all []string) ([]string, error) {
	if len(asked) == 0 {
		return all, nil
	}
	for _, name := range asked {
		if !slices.Contains(all, name) {
			return nil, fmt.Errorf("there is no %q, only %v", name, all)
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(name string) bool { return !slices.Contains(asked, name) }), nil
}

// benchmark measures rows on one store.
type benchmark struct {
	report *Report
	scale  scale
	names  *atomic.Int64
	store  harness.Store
	lab    *lab // with a cluster, if one runs
}

// do measures a row.
func (b *benchmark) do(ctx context.Context, row row) {
	began := time.Now()
	fmt.Fprintf(b.report.config.Progress, "%s on %s\n", row.name, b.store.Name)
	o := outcome{row: row, store: b.store.Name}
	if o.err = context.Cause(ctx); o.err == nil {
		o.lines, o.err = b.measure(ctx, row)
	}
	o.took = time.Since(began)
	b.report.outcomes = append(b.report.outcomes, o)
	b.report.progress(o)
	if o.err != nil || row.leaves && !b.report.config.Smoke {
		b.stop()
	}
}

func (b *benchmark) measure(ctx context.Context, row row) ([]line, error) {
	l, err := b.ready(ctx, row)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, rowLimit, fmt.Errorf("it takes more than %v", rowLimit))
	defer cancel()
	type result struct {
		lines []line
		err   error
	}
	done := make(chan result, 1)
	go func() {
		var r result
		defer func() {
			if v := recover(); v != nil {
				r.err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
			}
			l.clear()
			done <- r
		}()
		r.lines, r.err = row.measure(ctx, l)
	}()
	hopeless := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(rowGrace, func() { close(hopeless) }) })
	defer stop()
	select {
	case r := <-done:
		return r.lines, r.err
	case <-hopeless:
		return nil, fmt.Errorf("it did not stop: %w", context.Cause(ctx))
	}
}

// ready returns a lab, with a cluster unless the row needs none.
func (b *benchmark) ready(ctx context.Context, row row) (*lab, error) {
	if row.alone {
		return &lab{Store: b.store, scale: b.scale, names: b.names}, nil
	}
	if b.lab == nil {
		c, err := start(b.store)
		if err != nil {
			return nil, err
		}
		b.lab = &lab{Store: b.store, cluster: c, scale: b.scale, names: b.names}
		if v := version(ctx, b.store.Name, c); !slices.Contains(b.report.versions, v) {
			b.report.versions = append(b.report.versions, v)
		}
	}
	return b.lab, nil
}

func (b *benchmark) stop() {
	if b.lab != nil {
		_ = b.lab.cluster.Close()
		b.lab = nil
	}
}
