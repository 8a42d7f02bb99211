package counting

import (
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/quorate/quorate/integration/judge"
)

// input is an add of delta, or with zero a read.
type input struct{ delta int64 }

// output is the value after the add, unless it is in doubt.
type output struct {
	value int64
	doubt bool
}

var model = porcupine.Model{
	Init: func() any { return int64(0) },
	Step: func(state, in, out any) (bool, any) {
		after := state.(int64) + in.(input).delta
		o := out.(output)
		return o.doubt || o.value == after, after
	},
}

// linearizable has porcupine say whether the history is linearizable. An add
// in doubt may take effect at any time after it began, which the end of the
// history stands for; that it need not at all is expressed by a place after
// the read of the final value.
func linearizable(t *testing.T, history []judge.Call, final int64) {
	t.Helper()
	end := int64(0)
	for _, c := range history {
		end = max(end, c.End)
	}
	var ops []porcupine.Operation
	for i, c := range history {
		if c.Never && !c.Doubt {
			continue
		}
		op := porcupine.Operation{
			ClientId: i, Input: input{c.Delta}, Call: c.Begin,
			Output: output{value: c.Result, doubt: c.Doubt}, Return: c.End,
		}
		if c.Doubt {
			op.Return = end + 3
		}
		ops = append(ops, op)
	}
	ops = append(ops, porcupine.Operation{ClientId: len(history), Call: end + 1, Output: output{value: final}, Input: input{}, Return: end + 2})
	began := time.Now()
	if result := porcupine.CheckOperationsTimeout(model, ops, 30*time.Second); result != porcupine.Ok {
		t.Errorf("porcupine says %s", result)
	}
	t.Logf("porcupine: %d operations in %v", len(ops), time.Since(began).Round(time.Millisecond))
}

// TestPorcupineModel tests the model of a counter that porcupine checks by.
func TestPorcupineModel(t *testing.T) {
	op := func(client int, delta, value, begin, end int64, doubt bool) porcupine.Operation {
		return porcupine.Operation{ClientId: client, Input: input{delta}, Output: output{value, doubt}, Call: begin, Return: end}
	}
	for name, test := range map[string]struct {
		ops  []porcupine.Operation
		want porcupine.CheckResult
	}{
		"in order":     {[]porcupine.Operation{op(0, 1, 1, 1, 2, false), op(1, 2, 3, 3, 4, false)}, porcupine.Ok},
		"against time": {[]porcupine.Operation{op(0, 1, 3, 1, 2, false), op(1, 2, 2, 3, 4, false)}, porcupine.Illegal},
		"in doubt":     {[]porcupine.Operation{op(0, 1, 0, 1, 9, true), op(1, 2, 3, 3, 4, false)}, porcupine.Ok},
		"doubled":      {[]porcupine.Operation{op(0, 1, 2, 1, 2, false)}, porcupine.Illegal},
	} {
		if got := porcupine.CheckOperationsTimeout(model, test.ops, time.Second); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}
