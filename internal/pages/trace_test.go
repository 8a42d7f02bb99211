package pages_test

import (
	"reflect"
	"slices"
	"testing"

	"github.com/quorate/quorate/backend"
)

// TestEveryTraceFieldHasItsRow, with all that its event says.
func TestEveryTraceFieldHasItsRow(t *testing.T) {
	rows := map[string][]string{}
	for _, row := range table(t, "Field", "Event's fields", "Meaning") {
		rows[only(t, row[0])] = row
	}
	trace := reflect.TypeFor[backend.Trace]()
	if trace.NumField() != len(rows) {
		t.Errorf("%d rows, %d fields", len(rows), trace.NumField())
	}
	for i := range trace.NumField() {
		field := trace.Field(i)
		row := rows[field.Name]
		if row == nil {
			t.Errorf("Trace.%s has no row", field.Name)
			continue
		}
		event := field.Type.In(0)
		var want []string
		for j := range event.NumField() {
			want = append(want, event.Field(j).Name)
		}
		if got := codes(row[1]); !slices.Equal(got, want) {
			t.Errorf("the row of Trace.%s names %q, its event has %q", field.Name, got, want)
		}
		if row[2] == "" {
			t.Errorf("Trace.%s: no meaning", field.Name)
		}
	}
}
