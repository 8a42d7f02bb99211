package promquorate_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/bridge/promquorate"
	"github.com/quorate/quorate/internal/bridgetest"
)

func TestBridge(t *testing.T) {
	bridgetest.Run(t, func(t *testing.T, maxNames int) bridgetest.Bridge {
		b := promquorate.New(&promquorate.Options{MaxNames: maxNames})
		registry := prometheus.NewPedanticRegistry()
		if err := registry.Register(b.Collector()); err != nil {
			t.Fatal(err)
		}
		return bridgetest.Bridge{Trace: b.Trace(), Read: func(t *testing.T) map[string]float64 {
			families, err := registry.Gather()
			if err != nil {
				t.Error(err)
			}
			return flatten(families)
		}}
	})
}

// dots are the names in which OpenTelemetry has a dot where Prometheus has an
// underscore, and no word ends there.
var dots = strings.NewReplacer("trust_left", "trust_left", "_", ".")

func flatten(families []*dto.MetricFamily) map[string]float64 {
	all := make(map[string]float64)
	for _, f := range families {
		name := strings.TrimPrefix(f.GetName(), "quorate_")
		name = strings.TrimSuffix(strings.TrimSuffix(name, "_total"), "_seconds")
		name = dots.Replace(name)
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			slices.Sort(labels)
			key := ""
			if len(labels) > 0 {
				key = "{" + strings.Join(labels, ",") + "}"
			}
			switch {
			case m.Counter != nil:
				all[name+key] = m.Counter.GetValue()
			case m.Gauge != nil:
				all[name+key] = m.Gauge.GetValue()
			case m.Histogram != nil:
				all[name+".count"+key] = float64(m.Histogram.GetSampleCount())
				all[name+".sum"+key] = m.Histogram.GetSampleSum()
			}
		}
	}
	return all
}

// TestTwoBridges: two Stores of a process are told apart by a constant label.
func TestTwoBridges(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	for _, store := range []string{"a", "b"} {
		b := promquorate.New(&promquorate.Options{ConstLabels: prometheus.Labels{"store": store}})
		if err := registry.Register(b.Collector()); err != nil {
			t.Fatal(err)
		}
		b.Trace().SessionLost(backend.SessionLost{})
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, store := range []string{"a", "b"} {
		if got := flatten(families)["sessions.lost{store="+store+"}"]; got != 1 {
			t.Errorf("%s: %v", store, got)
		}
	}
}

func Example() {
	bridge := promquorate.New(nil)
	registry := prometheus.NewRegistry()
	registry.MustRegister(bridge.Collector())

	// Callbacks of the service's own go beside it.
	own := &backend.Trace{SessionGranted: func(e backend.SessionGranted) { fmt.Println("a session of", e.TTL) }}
	store, err := memory.New(&backend.Options{Trace: backend.JoinTraces(bridge.Trace(), own)})
	if err != nil {
		panic(err)
	}
	defer store.Close()
	if _, err := store.Session(context.Background()); err != nil {
		panic(err)
	}
	families, err := registry.Gather()
	if err != nil {
		panic(err)
	}
	for _, f := range families {
		if f.GetName() == "quorate_sessions_granted_total" {
			fmt.Println(f.GetName(), f.GetMetric()[0].GetCounter().GetValue())
		}
	}
	// Output:
	// a session of 10s
	// quorate_sessions_granted_total 1
}
