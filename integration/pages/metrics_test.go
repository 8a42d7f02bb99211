package pages_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/bridge/otelquorate"
	"github.com/quorate/quorate/bridge/promquorate"
)

// metric is what the page, or a bridge, says of a metric.
type metric struct {
	kind   string
	unit   string // Prometheus has none but in the name
	labels string // sorted
}

// TestEveryMetricHasItsRow: the page lists what the bridges export, and no
// more, with their kinds, units and labels.
func TestEveryMetricHasItsRow(t *testing.T) {
	inPrometheus, inOTel := map[string]metric{}, map[string]metric{}
	for _, row := range metricRows(t) {
		if len(row) != 6 || row[5] == "" {
			t.Fatalf("the row %q has %d cells, or no meaning", row[0], len(row))
		}
		var labels []string
		for label := range strings.SplitSeq(row[4], ",") {
			if label = strings.Trim(label, " `"); label != "" {
				labels = append(labels, label)
			}
		}
		slices.Sort(labels)
		m := metric{kind: row[2], labels: strings.Join(labels, ",")}
		inPrometheus[strings.Trim(row[0], "`")] = m
		m.unit = strings.Trim(row[3], "`")
		inOTel[strings.Trim(row[1], "`")] = m
	}
	if len(inPrometheus) < 10 {
		t.Fatalf("only %d rows", len(inPrometheus))
	}
	compare(t, "promquorate", inPrometheus, prometheusMetrics(t))
	compare(t, "otelquorate", inOTel, otelMetrics(t))
}

func compare(t *testing.T, bridge string, page, exported map[string]metric) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(page)) {
		if got, there := exported[name]; !there || got != page[name] {
			t.Errorf("%s exports %s: %v, as %+v; the page says %+v", bridge, name, there, got, page[name])
		}
	}
	for name := range exported {
		if _, there := page[name]; !there {
			t.Errorf("%s exports %s, which has no row", bridge, name)
		}
	}
}

// metricRows returns the rows of the table of metrics.
func metricRows(t *testing.T) (rows [][]string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(top, "docs/operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(text), "\n| Prometheus | OpenTelemetry | Kind | Unit | Labels | Meaning |\n")
	if !found {
		t.Fatal("docs/operations.md has no table of metrics")
	}
	for line := range strings.Lines(after) {
		cells := cellsOf(line)
		if cells == nil {
			return rows
		}
		if cells[0] != "---" {
			rows = append(rows, cells)
		}
	}
	return rows
}

// cellsOf returns what stands between the bars of a line, nil if it is not of a
// table.
func cellsOf(line string) []string {
	line = strings.TrimSpace(line)
	if !strings.HasPrefix(line, "|") {
		return nil
	}
	cells := strings.Split(strings.Trim(line, "|"), "|")
	for i := range cells {
		cells[i] = strings.TrimSpace(cells[i])
	}
	return cells
}

// tellAll calls every field of a trace.
func tellAll(trace *backend.Trace) {
	for _, f := range reflect.ValueOf(trace).Elem().Fields() {
		if !f.IsNil() {
			f.Call([]reflect.Value{reflect.Zero(f.Type().In(0))})
		}
	}
}

func prometheusMetrics(t *testing.T) map[string]metric {
	t.Helper()
	b := promquorate.New(nil)
	tellAll(b.Trace())
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(b.Collector()); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]metric{}
	for _, f := range families {
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		slices.Sort(labels)
		all[f.GetName()] = metric{kind: strings.ToLower(f.GetType().String()), labels: strings.Join(labels, ",")}
	}
	return all
}

func otelMetrics(t *testing.T) map[string]metric {
	t.Helper()
	reader := sdk.NewManualReader()
	b, err := otelquorate.New(sdk.NewMeterProvider(sdk.WithReader(reader)), nil)
	if err != nil {
		t.Fatal(err)
	}
	tellAll(b.Trace())
	var data metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &data); err != nil {
		t.Fatal(err)
	}
	all := map[string]metric{}
	for _, m := range data.ScopeMetrics[0].Metrics {
		said := metric{unit: m.Unit}
		switch d := m.Data.(type) {
		case metricdata.Sum[int64]:
			said.kind, said.labels = "counter", keys(d.DataPoints[0].Attributes)
			if !d.IsMonotonic {
				said.kind = "gauge"
			}
		case metricdata.Gauge[float64]:
			said.kind, said.labels = "gauge", keys(d.DataPoints[0].Attributes)
		case metricdata.Histogram[float64]:
			said.kind, said.labels = "histogram", keys(d.DataPoints[0].Attributes)
		default:
			said.kind = fmt.Sprintf("%T", d)
		}
		all[m.Name] = said
	}
	return all
}

// keys are those of a set, which is sorted.
func keys(set attribute.Set) string {
	var all []string
	for _, kv := range set.ToSlice() {
		all = append(all, string(kv.Key))
	}
	return strings.Join(all, ",")
}
