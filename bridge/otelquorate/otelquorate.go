// Package otelquorate exports what happens in a backend.Store, and in the
// primitives on it, as OpenTelemetry metrics. Make a [Bridge] and give its Trace
// to the Store:
//
//	bridge, err := otelquorate.New(provider, nil)
//	...
//	store, err := etcd.New(client, &backend.Options{Trace: bridge.Trace()})
//
// The metrics, their units and their attributes are listed in
// docs/operations.md. No attribute grows with what a service does.
// Options.MaxNames bounds the names of elections and partitions. Kinds and
// operations are constants of the program, and package bridge bounds them too.
// All other attributes have a fixed set of values. Slots, keys, sessions and the
// texts of errors are in none.
//
// There are no spans. The events belong to no request. An ownership may last for
// weeks, and a span would be exported at its end. The metrics show it from the
// start.
package otelquorate

import (
	"context"
	"errors"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/bridge"
)

// scope is the instrumentation scope.
const scope = "github.com/quorate/quorate/bridge/otelquorate"

// Options are the options of a Bridge; nil means the defaults.
type Options struct {
	// MaxNames is how many names of elections and partitions have a value of
	// the attribute "name" of their own; those that come later share "other".
	// 100 by default, negative: none.
	MaxNames int
	// Attributes are added to every measurement: to tell two Stores of one
	// process apart, each with a Bridge of its own.
	Attributes []attribute.KeyValue
}

// Bridge counts what Traces tell. One Bridge may serve any number of Stores,
// whose numbers add up; the gauge of trust left shows whichever renewed last.
// Its Trace may be called concurrently.
type Bridge struct{ trace *backend.Trace }

// New returns a Bridge whose instruments are of this provider. A nil one is
// backend.ErrInvalid; other errors are the provider's.
func New(provider metric.MeterProvider, options *Options) (*Bridge, error) {
	if provider == nil {
		return nil, fmt.Errorf("otelquorate: %w: the provider is nil", backend.ErrInvalid)
	}
	var opts Options
	if options != nil {
		opts = *options
	}
	m, err := newMetrics(provider.Meter(scope))
	if err != nil {
		return nil, fmt.Errorf("otelquorate: %w", err)
	}
	r := &recorder{metrics: m, own: opts.Attributes, labels: bridge.NewLabels(opts.MaxNames)}
	return &Bridge{trace: r.trace()}, nil
}

// Trace returns what to set as backend.Options.Trace; backend.JoinTraces puts
// others beside it.
func (b *Bridge) Trace() *backend.Trace { return b.trace }

// recorder is what the callbacks share.
type recorder struct {
	metrics
	own       []attribute.KeyValue
	labels    *bridge.Labels
	durations bridge.Durations
}

// with returns the attributes of a measurement, given as pairs.
func (r *recorder) with(pairs ...string) metric.MeasurementOption {
	all := make([]attribute.KeyValue, 0, len(r.own)+len(pairs)/2)
	all = append(all, r.own...)
	for i := 0; i < len(pairs); i += 2 {
		all = append(all, attribute.String(pairs[i], pairs[i+1]))
	}
	return metric.WithAttributeSet(attribute.NewSet(all...))
}

func (r *recorder) trace() *backend.Trace {
	ctx := context.Background() // what is measured belongs to no request
	return &backend.Trace{
		SessionGranted: func(e backend.SessionGranted) {
			r.granted.Add(ctx, 1, r.with())
			r.grantDuration.Record(ctx, e.Took.Seconds(), r.with())
		},
		SessionLost: func(backend.SessionLost) {
			r.lost.Add(ctx, 1, r.with())
			r.trustLeftLast.Record(ctx, 0, r.with())
		},
		SessionRenewed: func(e backend.SessionRenewed) {
			r.renewed(ctx, "counted", e)
		},
		SessionRenewFailed: func(e backend.SessionRenewFailed) {
			result := "failed"
			if e.Answered {
				result = "unproved"
			}
			r.renewed(ctx, result, backend.SessionRenewed{TrustLeft: e.TrustLeft, Late: e.Late, Took: e.Took})
			r.renewalsFailed.Add(ctx, 1, r.with("result", result, "error", bridge.ErrorKind(e.Err)))
		},
		CommitIndeterminate: func(backend.CommitIndeterminate) { r.indeterminate.Add(ctx, 1, r.with()) },
		Retrying: func(e backend.Retrying) {
			kind, operation := r.labels.Retrying(e)
			r.retries.Add(ctx, 1, r.with("kind", kind, "operation", operation, "error", bridge.ErrorKind(e.Err)))
		},
		WatchRestarted: func(e backend.WatchRestarted) {
			r.watches.Add(ctx, 1, r.with("error", bridge.ErrorKind(e.Err)))
		},
		OwnershipBegan: func(o backend.Ownership) {
			kind, name := r.labels.Ownership(o)
			r.durations.Began(o)
			r.began.Add(ctx, 1, r.with("kind", kind, "name", name))
			r.owned.Add(ctx, 1, r.with("kind", kind, "name", name))
		},
		OwnershipEnded: func(o backend.Ownership) {
			kind, name := r.labels.Ownership(o)
			r.ended.Add(ctx, 1, r.with("kind", kind, "name", name, "cause", bridge.CauseKind(o.Cause)))
			r.owned.Add(ctx, -1, r.with("kind", kind, "name", name))
			if took, known := r.durations.Ended(o); known {
				r.duration.Record(ctx, took.Seconds(), r.with("kind", kind))
			}
		},
		BodyOverran: func(e backend.BodyOverran) {
			kind, name := r.labels.Ownership(e.Ownership)
			r.overran.Add(ctx, 1, r.with("kind", kind, "name", name))
		},
	}
}

func (r *recorder) renewed(ctx context.Context, result string, e backend.SessionRenewed) {
	r.renewDuration.Record(ctx, e.Took.Seconds(), r.with("result", result))
	r.renewLateness.Record(ctx, e.Late.Seconds(), r.with())
	r.trustLeft.Record(ctx, e.TrustLeft.Seconds(), r.with())
	r.trustLeftLast.Record(ctx, max(e.TrustLeft.Seconds(), 0), r.with())
}

// Buckets, in seconds. A TTL has a second at least, so trust has no finer ones.
var (
	callBuckets  = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	trustBuckets = []float64{.1, .25, .5, 1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 60, 120, 300}
	ownedBuckets = []float64{1, 10, 60, 600, 3600, 6 * 3600, 24 * 3600, 7 * 24 * 3600}
)

type metrics struct {
	granted, lost, renewalsFailed, indeterminate, retries, watches, began, ended, overran metric.Int64Counter
	grantDuration, renewDuration, renewLateness, trustLeft, duration                      metric.Float64Histogram
	trustLeftLast                                                                         metric.Float64Gauge
	owned                                                                                 metric.Int64UpDownCounter
}

func newMetrics(meter metric.Meter) (m metrics, err error) {
	var errs []error
	counter := func(name, unit, help string) metric.Int64Counter {
		c, err := meter.Int64Counter("quorate."+name, metric.WithUnit(unit), metric.WithDescription(help))
		errs = append(errs, err)
		return c
	}
	seconds := func(name, help string, buckets []float64) metric.Float64Histogram {
		h, err := meter.Float64Histogram("quorate."+name, metric.WithUnit("s"), metric.WithDescription(help),
			metric.WithExplicitBucketBoundaries(buckets...))
		errs = append(errs, err)
		return h
	}
	m = metrics{
		granted:        counter("sessions.granted", "{session}", "Sessions opened."),
		lost:           counter("sessions.lost", "{session}", "Sessions that ended, other than by Close."),
		grantDuration:  seconds("session.grant.duration", "How long the store took to grant a session.", callBuckets),
		renewDuration:  seconds("session.renew.duration", "How long an attempt to renew the session took.", callBuckets),
		renewLateness:  seconds("session.renew.lateness", "How much later than planned an attempt to renew began.", callBuckets),
		trustLeft:      seconds("session.trust_left", "What was left of the trust window at the end of an attempt to renew.", trustBuckets),
		renewalsFailed: counter("session.renewals.failed", "{renewal}", "Attempts to renew that failed or did not count."),
		indeterminate:  counter("commits.indeterminate", "{commit}", "Commits whose outcome was not known."),
		retries:        counter("retries", "{retry}", "Pauses before an operation is tried again."),
		watches:        counter("watches.restarted", "{watch}", "Watches that failed and began anew."),
		began:          counter("ownerships.began", "{ownership}", "Offices and slots that this process began to own."),
		ended:          counter("ownerships.ended", "{ownership}", "Offices and slots that this process ceased to own."),
		duration:       seconds("ownership.duration", "How long an ownership lasted that has ended.", ownedBuckets),
		overran:        counter("bodies.overran", "{report}", "Reports of a body that has not returned."),
	}
	m.trustLeftLast, err = meter.Float64Gauge("quorate.session.trust_left.last", metric.WithUnit("s"),
		metric.WithDescription("The last of these, zero after a loss."))
	errs = append(errs, err)
	m.owned, err = meter.Int64UpDownCounter("quorate.owned", metric.WithUnit("{ownership}"),
		metric.WithDescription("Offices and slots that this process owns."))
	errs = append(errs, err)
	return m, errors.Join(errs...)
}
