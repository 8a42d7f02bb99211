// Package promquorate exports what happens in a backend.Store, and in the
// primitives on it, as Prometheus metrics. Make a [Bridge], give its Trace to
// the Store and register its Collector:
//
//	bridge, err := promquorate.New(nil)
//	...
//	store, err := etcd.New(client, &backend.Options{Trace: bridge.Trace()})
//	...
//	prometheus.MustRegister(bridge.Collector())
//
// The metrics, their units and their labels are listed in docs/operations.md.
// No label grows with what a service does. Options.MaxNames bounds the names of
// elections and partitions. Kinds and operations are constants of the program,
// and package bridge bounds them too. All other labels have a fixed set of
// values. Slots, keys, sessions and the texts of errors are in none.
package promquorate

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/bridge"
)

// Options are the options of a Bridge; nil means the defaults.
type Options struct {
	// MaxNames is how many names of elections and partitions have a value of
	// the label "name" of their own; those that come later share "other". 100 by
	// default, negative: none.
	MaxNames int
	// ConstLabels are added to every metric: to tell two Stores of one process
	// apart, each with a Bridge of its own.
	ConstLabels prometheus.Labels
}

// Bridge counts what Traces tell. One Bridge may serve any number of Stores,
// whose numbers add up; the gauge of trust left shows whichever renewed last.
// Its methods and its Trace may be called concurrently.
type Bridge struct {
	trace   *backend.Trace
	metrics metrics
}

// New returns a Bridge. Nothing is registered anywhere.
func New(options *Options) *Bridge {
	var opts Options
	if options != nil {
		opts = *options
	}
	b := &Bridge{metrics: newMetrics(opts.ConstLabels)}
	m, labels, durations := &b.metrics, bridge.NewLabels(opts.MaxNames), new(bridge.Durations)
	b.trace = &backend.Trace{
		SessionGranted: func(e backend.SessionGranted) {
			m.granted.Inc()
			m.grantDuration.Observe(e.Took.Seconds())
		},
		SessionLost: func(backend.SessionLost) {
			m.lost.Inc()
			m.trustLeftLast.Set(0)
		},
		SessionRenewed: func(e backend.SessionRenewed) {
			m.renewed("counted", e.Took.Seconds(), e.Late.Seconds(), e.TrustLeft.Seconds())
		},
		SessionRenewFailed: func(e backend.SessionRenewFailed) {
			result := "failed"
			if e.Answered {
				result = "unproved"
			}
			m.renewed(result, e.Took.Seconds(), e.Late.Seconds(), e.TrustLeft.Seconds())
			m.renewalsFailed.WithLabelValues(result, bridge.ErrorKind(e.Err)).Inc()
		},
		CommitIndeterminate: func(backend.CommitIndeterminate) { m.indeterminate.Inc() },
		Retrying: func(e backend.Retrying) {
			kind, operation := labels.Retrying(e)
			m.retries.WithLabelValues(kind, operation, bridge.ErrorKind(e.Err)).Inc()
		},
		WatchRestarted: func(e backend.WatchRestarted) {
			m.watches.WithLabelValues(bridge.ErrorKind(e.Err)).Inc()
		},
		OwnershipBegan: func(o backend.Ownership) {
			kind, name := labels.Ownership(o)
			durations.Began(o)
			m.began.WithLabelValues(kind, name).Inc()
			m.owned.WithLabelValues(kind, name).Inc()
		},
		OwnershipEnded: func(o backend.Ownership) {
			kind, name := labels.Ownership(o)
			m.ended.WithLabelValues(kind, name, bridge.CauseKind(o.Cause)).Inc()
			m.owned.WithLabelValues(kind, name).Dec()
			if took, known := durations.Ended(o); known {
				m.duration.WithLabelValues(kind).Observe(took.Seconds())
			}
		},
		BodyOverran: func(e backend.BodyOverran) {
			kind, name := labels.Ownership(e.Ownership)
			m.overran.WithLabelValues(kind, name).Inc()
		},
	}
	return b
}

// Trace returns what to set as backend.Options.Trace; backend.JoinTraces puts
// others beside it.
func (b *Bridge) Trace() *backend.Trace { return b.trace }

// Collector returns what to register.
func (b *Bridge) Collector() prometheus.Collector { return collector{&b.metrics} }

// collector is the metrics without a method that is not for users.
type collector struct{ m *metrics }

func (c collector) Describe(descs chan<- *prometheus.Desc) {
	for _, one := range c.m.all() {
		one.Describe(descs)
	}
}

func (c collector) Collect(values chan<- prometheus.Metric) {
	for _, one := range c.m.all() {
		one.Collect(values)
	}
}
