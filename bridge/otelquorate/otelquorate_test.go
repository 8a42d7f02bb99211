package otelquorate_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/bridge/otelquorate"
	"github.com/quorate/quorate/internal/bridgetest"
)

func TestBridge(t *testing.T) {
	bridgetest.Run(t, func(t *testing.T, maxNames int) bridgetest.Bridge {
		reader := sdk.NewManualReader()
		b, err := otelquorate.New(sdk.NewMeterProvider(sdk.WithReader(reader)), &otelquorate.Options{MaxNames: maxNames})
		if err != nil {
			t.Fatal(err)
		}
		return bridgetest.Bridge{Trace: b.Trace(), Read: func(t *testing.T) map[string]float64 { return flatten(t, reader) }}
	})
}

func flatten(t *testing.T, reader *sdk.ManualReader) map[string]float64 {
	all := make(map[string]float64)
	var data metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &data); err != nil {
		t.Error(err)
	}
	for _, scope := range data.ScopeMetrics {
		for _, m := range scope.Metrics {
			name, ok := strings.CutPrefix(m.Name, "quorate.")
			if !ok || m.Unit == "" || m.Description == "" {
				t.Errorf("%s: unit %q, description %q", m.Name, m.Unit, m.Description)
			}
			switch d := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range d.DataPoints {
					all[name+labels(p.Attributes)] = float64(p.Value)
				}
			case metricdata.Gauge[float64]:
				for _, p := range d.DataPoints {
					all[name+labels(p.Attributes)] = p.Value
				}
			case metricdata.Histogram[float64]:
				for _, p := range d.DataPoints {
					all[name+".count"+labels(p.Attributes)] = float64(p.Count)
					all[name+".sum"+labels(p.Attributes)] = p.Sum
				}
			default:
				t.Errorf("%s is a %T", m.Name, m.Data)
			}
		}
	}
	return all
}

// labels are sorted, as a Set is.
func labels(set attribute.Set) string {
	var all []string
	for _, kv := range set.ToSlice() {
		all = append(all, string(kv.Key)+"="+fmt.Sprint(kv.Value.AsInterface()))
	}
	if len(all) == 0 {
		return ""
	}
	return "{" + strings.Join(all, ",") + "}"
}

func TestAttributes(t *testing.T) {
	reader := sdk.NewManualReader()
	provider := sdk.NewMeterProvider(sdk.WithReader(reader))
	for _, store := range []string{"a", "b"} {
		b, err := otelquorate.New(provider, &otelquorate.Options{Attributes: []attribute.KeyValue{attribute.String("store", store)}})
		if err != nil {
			t.Fatal(err)
		}
		b.Trace().SessionLost(backend.SessionLost{})
		b.Trace().OwnershipBegan(backend.Ownership{Kind: "election", Name: "e"})
	}
	all := flatten(t, reader)
	for _, store := range []string{"a", "b"} {
		if all["sessions.lost{store="+store+"}"] != 1 || all["owned{kind=election,name=e,store="+store+"}"] != 1 {
			t.Errorf("%s: %v", store, all)
		}
	}
}

func TestNoProvider(t *testing.T) {
	if _, err := otelquorate.New(nil, nil); !errors.Is(err, backend.ErrInvalid) {
		t.Errorf("%v", err)
	}
}

func Example() {
	reader := sdk.NewManualReader() // an exporter's in a service
	bridge, err := otelquorate.New(sdk.NewMeterProvider(sdk.WithReader(reader)), nil)
	if err != nil {
		panic(err)
	}
	// Callbacks of the service's own go beside it.
	own := &backend.Trace{SessionGranted: func(e backend.SessionGranted) { fmt.Println("a session of", e.TTL) }}
	store, err := memory.New(&backend.Options{Trace: backend.JoinTraces(bridge.Trace(), own)})
	if err != nil {
		panic(err)
	}
	defer store.Close()
	ctx := context.Background()
	if _, err := store.Session(ctx); err != nil {
		panic(err)
	}
	var data metricdata.ResourceMetrics
	if err := reader.Collect(ctx, &data); err != nil {
		panic(err)
	}
	for _, m := range data.ScopeMetrics[0].Metrics {
		if sum, ok := m.Data.(metricdata.Sum[int64]); ok && m.Name == "quorate.sessions.granted" {
			fmt.Println(m.Name, sum.DataPoints[0].Value)
		}
	}
	// Output:
	// a session of 10s
	// quorate.sessions.granted 1
}
