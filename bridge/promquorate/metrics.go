package promquorate

import "github.com/prometheus/client_golang/prometheus"

// Buckets, in seconds. A TTL has a second at least, so trust has no finer ones.
var (
	callBuckets  = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	trustBuckets = []float64{.1, .25, .5, 1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 60, 120, 300}
	ownedBuckets = []float64{1, 10, 60, 600, 3600, 6 * 3600, 24 * 3600, 7 * 24 * 3600}
)

type metrics struct {
	granted, lost            prometheus.Counter
	grantDuration            prometheus.Histogram
	renewDuration            *prometheus.HistogramVec
	renewLateness, trustLeft prometheus.Histogram
	trustLeftLast            prometheus.Gauge
	renewalsFailed           *prometheus.CounterVec
	indeterminate            prometheus.Counter
	retries, watches         *prometheus.CounterVec
	began, ended, overran    *prometheus.CounterVec
	owned                    *prometheus.GaugeVec
	duration                 *prometheus.HistogramVec
}

func newMetrics(labels prometheus.Labels) metrics {
	counter := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Namespace: "quorate", Name: name, Help: help, ConstLabels: labels}
	}
	gauge := func(name, help string) prometheus.GaugeOpts {
		return prometheus.GaugeOpts{Namespace: "quorate", Name: name, Help: help, ConstLabels: labels}
	}
	histogram := func(name, help string, buckets []float64) prometheus.HistogramOpts {
		return prometheus.HistogramOpts{Namespace: "quorate", Name: name, Help: help, ConstLabels: labels, Buckets: buckets}
	}
	return metrics{
		granted:       prometheus.NewCounter(counter("sessions_granted_total", "Sessions opened.")),
		lost:          prometheus.NewCounter(counter("sessions_lost_total", "Sessions that ended, other than by Close.")),
		grantDuration: prometheus.NewHistogram(histogram("session_grant_duration_seconds", "How long the store took to grant a session.", callBuckets)),
		renewDuration: prometheus.NewHistogramVec(histogram("session_renew_duration_seconds", "How long an attempt to renew the session took.", callBuckets), []string{"result"}),
		renewLateness: prometheus.NewHistogram(histogram("session_renew_lateness_seconds", "How much later than planned an attempt to renew began.", callBuckets)),
		trustLeft:     prometheus.NewHistogram(histogram("session_trust_left_seconds", "What was left of the trust window at the end of an attempt to renew.", trustBuckets)),
		trustLeftLast: prometheus.NewGauge(gauge("session_trust_left_last_seconds", "The last of these, zero after a loss.")),
		renewalsFailed: prometheus.NewCounterVec(
			counter("session_renewals_failed_total", "Attempts to renew that failed or did not count."), []string{"result", "error"}),
		indeterminate: prometheus.NewCounter(counter("commits_indeterminate_total", "Commits whose outcome was not known.")),
		retries:       prometheus.NewCounterVec(counter("retries_total", "Pauses before an operation is tried again."), []string{"kind", "operation", "error"}),
		watches:       prometheus.NewCounterVec(counter("watches_restarted_total", "Watches that failed and began anew."), []string{"error"}),
		began:         prometheus.NewCounterVec(counter("ownerships_began_total", "Offices and slots that this process began to own."), []string{"kind", "name"}),
		ended:         prometheus.NewCounterVec(counter("ownerships_ended_total", "Offices and slots that this process ceased to own."), []string{"kind", "name", "cause"}),
		owned:         prometheus.NewGaugeVec(gauge("owned", "Offices and slots that this process owns."), []string{"kind", "name"}),
		duration:      prometheus.NewHistogramVec(histogram("ownership_duration_seconds", "How long an ownership lasted that has ended.", ownedBuckets), []string{"kind"}),
		overran:       prometheus.NewCounterVec(counter("bodies_overran_total", "Reports of a body that has not returned."), []string{"kind", "name"}),
	}
}

func (m *metrics) renewed(result string, took, late, left float64) {
	m.renewDuration.WithLabelValues(result).Observe(took)
	m.renewLateness.Observe(late)
	m.trustLeft.Observe(left)
	m.trustLeftLast.Set(max(left, 0))
}

func (m *metrics) all() []prometheus.Collector {
	return []prometheus.Collector{
		m.granted, m.lost, m.grantDuration, m.renewDuration, m.renewLateness, m.trustLeft, m.trustLeftLast,
		m.renewalsFailed, m.indeterminate, m.retries, m.watches, m.began, m.ended, m.owned, m.duration, m.overran,
	}
}
