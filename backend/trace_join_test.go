package backend_test

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/quorate/quorate/backend"
)

// TestJoinTraces: each field of each trace is called back once, in order,
// whatever fields are added to Trace.
func TestJoinTraces(t *testing.T) {
	var called []string
	full := func(name string) *backend.Trace {
		trace := new(backend.Trace)
		fields := reflect.ValueOf(trace).Elem()
		for i := range fields.NumField() {
			field := fields.Type().Field(i).Name
			fields.Field(i).Set(reflect.MakeFunc(fields.Field(i).Type(), func([]reflect.Value) []reflect.Value {
				called = append(called, name+field)
				return nil
			}))
		}
		return trace
	}
	call := func(trace *backend.Trace) {
		fields := reflect.ValueOf(trace).Elem()
		for i := range fields.NumField() {
			f := fields.Field(i)
			if name := fields.Type().Field(i).Name; f.IsNil() {
				called = append(called, "no "+name)
				continue
			}
			f.Call([]reflect.Value{reflect.Zero(f.Type().In(0))})
		}
	}
	for _, c := range []struct {
		joined *backend.Trace
		want   []string // for each field
	}{
		{backend.JoinTraces(), []string{"no "}},
		{backend.JoinTraces(nil, new(backend.Trace)), []string{"no "}},
		{backend.JoinTraces(full("a"), nil, new(backend.Trace), full("b"), full("c")), []string{"a", "b", "c"}},
	} {
		called = nil
		call(c.joined)
		var want []string
		for i := range reflect.TypeFor[backend.Trace]().NumField() {
			for _, who := range c.want {
				want = append(want, who+reflect.TypeFor[backend.Trace]().Field(i).Name)
			}
		}
		if !slices.Equal(called, want) {
			t.Errorf("called back %q, want %q", called, want)
		}
	}
}

func ExampleJoinTraces() {
	metrics := &backend.Trace{SessionLost: func(backend.SessionLost) { fmt.Println("counted") }}
	own := &backend.Trace{SessionLost: func(backend.SessionLost) { fmt.Println("on call") }}
	backend.JoinTraces(metrics, own).SessionLost(backend.SessionLost{})
	// Output:
	// counted
	// on call
}
