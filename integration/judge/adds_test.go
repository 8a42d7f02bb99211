package judge

import "testing"

// TestAdds tests the checker: it accepts what is right and finds what is not.
func TestAdds(t *testing.T) {
	a, b, c, d := SomeDelta(), SomeDelta(), SomeDelta(), SomeDelta()
	ok := func(process int, delta, begin, end, result int64) Call {
		return Call{Process: process, Delta: delta, Begin: begin, End: end, Result: result}
	}
	doubt := func(process int, delta, begin, end int64) Call {
		return Call{Process: process, Delta: delta, Begin: begin, End: end, Doubt: true}
	}
	for name, test := range map[string]struct {
		calls []Call
		final int64
		want  Sum
	}{
		"in order":         {[]Call{ok(0, a, 1, 2, a), ok(1, b, 3, 4, a+b)}, a + b, Sum{Acknowledged: 2}},
		"at the same time": {[]Call{ok(0, a, 1, 9, a+b), ok(1, b, 2, 8, b)}, a + b, Sum{Acknowledged: 2}},
		"two in doubt": {
			[]Call{doubt(0, a, 1, 2), doubt(0, b, 1, 2), doubt(1, c, 1, 2), ok(1, d, 3, 4, a+c+d)},
			a + c + d,
			Sum{Acknowledged: 1, InDoubt: 3, Landed: 2},
		},
		"in doubt, late": {[]Call{doubt(0, a, 1, 2), ok(1, b, 3, 4, b)}, a + b, Sum{Acknowledged: 1, InDoubt: 1, Landed: 1}},
		"lost":           {[]Call{ok(0, a, 1, 2, a), ok(1, b, 3, 4, a+b)}, b, Sum{Acknowledged: 2, Lost: 1}},
		"overwritten":    {[]Call{ok(0, a, 1, 2, a), ok(1, b, 1, 2, b)}, max(a, b), Sum{Acknowledged: 2, Lost: 1}},
		"doubled":        {[]Call{ok(0, a, 1, 2, 2*a)}, 2 * a, Sum{Acknowledged: 1, Doubled: 1}},
		"doubled later":  {[]Call{ok(0, a, 1, 2, a)}, 2 * a, Sum{Acknowledged: 1, Doubled: 1}},
		"in doubt, twice": {
			[]Call{doubt(0, a, 1, 2), ok(1, b, 3, 4, a+b)},
			2*a + b,
			Sum{Acknowledged: 1, InDoubt: 1, Landed: 1, Doubled: 1},
		},
		"never, and yet": {
			[]Call{{Delta: a, Begin: 1, End: 2, Never: true}, ok(1, b, 3, 4, a+b)},
			a + b,
			Sum{Acknowledged: 1, Never: 1, Doubled: 1},
		},
		"one result for two": {[]Call{ok(0, a, 1, 2, a+b), ok(0, b, 1, 2, a+b)}, a + b, Sum{Acknowledged: 2, Doubled: 1, Lost: 1}},
		"against time":       {[]Call{ok(0, a, 1, 2, a+b), ok(1, b, 3, 4, b)}, a + b, Sum{Acknowledged: 2, Disorder: 1}},
		"before it began":    {[]Call{doubt(0, a, 5, 6), ok(1, b, 1, 2, a+b)}, a + b, Sum{Acknowledged: 1, InDoubt: 1, Doubled: 1}},
		"after the next": {
			[]Call{doubt(0, a, 1, 2), ok(0, b, 3, 4, b)},
			a + b,
			Sum{Acknowledged: 1, InDoubt: 1, Landed: 1, Disorder: 1},
		},
	} {
		got := Adds(test.calls, 0, test.final)
		got.First = ""
		if got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

// TestManyInDoubt: what landed is found among many that did not, and what is
// not explained is found out in bounded time.
func TestManyInDoubt(t *testing.T) {
	for n := 1; n < len(recent); n++ {
		var calls []Call
		sum := int64(0)
		for i := range 300 {
			c := Call{Process: i, Delta: SomeDelta(), Begin: int64(i), End: int64(i) + 1, Doubt: true}
			if i >= 300-20 && (i%2 == 1 || n == 1) && sum/unit < int64(n) {
				sum += c.Delta
			}
			calls = append(calls, c)
		}
		last := SomeDelta()
		calls = append(calls, Call{Process: 999, Delta: last, Begin: 500, End: 501, Result: sum + last})
		if v := Adds(calls, 0, sum+last); v.Wrong() || v.Landed != n {
			t.Errorf("%d landed: %v: %s", n, v, v.First)
		}
		calls[len(calls)-1].Result++
		if v := Adds(calls, 0, sum+last+1); !v.Wrong() {
			t.Errorf("%d landed, and one more: %v", n, v)
		}
	}
}
