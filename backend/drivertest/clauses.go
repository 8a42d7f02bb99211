package drivertest

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

// Clause is one subtest of the suite.
type Clause struct {
	// Name is the clause of the contract and what is tried of it, as in
	// "C03-refusal/create-of-a-key-that-is-there".
	Name string
	// Run fails t unless the drivers of env keep the clause. It uses t from its
	// own goroutine only, except for Errorf, and starts no subtest. So it can
	// run in a bubble of testing/synctest, or with a t of your own.
	Run func(t testing.TB, env *Env)
}

// Run runs the whole suite, with an environment of its own for each subtest.
// With a TTL of 2 s it takes about a minute and a half at most.
func Run(t *testing.T, factory Factory) {
	clauses := Clauses()
	for len(clauses) > 0 {
		group, _, _ := strings.Cut(clauses[0].Name, "/")
		n := slices.IndexFunc(clauses, func(c Clause) bool { return !strings.HasPrefix(c.Name, group+"/") })
		if n < 0 {
			n = len(clauses)
		}
		t.Run(group, func(t *testing.T) {
			for _, clause := range clauses[:n] {
				t.Run(strings.TrimPrefix(clause.Name, group+"/"), func(t *testing.T) {
					clause.Run(t, factory(t))
				})
			}
		})
		clauses = clauses[n:]
	}
}

// Clauses returns the subtests in order, for who wants to run them otherwise
// than Run does.
func Clauses() []Clause {
	var all []Clause
	for _, group := range []struct {
		name   string
		checks []named
	}{
		{"C01-reads", reads},
		{"C02-atomicity", atomicity},
		{"C03-refusal", refusal},
		{"C04-errors", errorChecks},
		{"C05-order", order},
		{"C06-leases", leases},
		{"C07-dead-leases", deadLeases},
		{"C08-watches", watches},
		{"C09-contexts", contexts},
		{"C10-close", closing},
		{"C11-equal-values", equalValues},
		{"C12-versions", versions},
		{"C13-ownership", ownership},
		{"C14-directories", directories},
	} {
		for _, check := range group.checks {
			all = append(all, Clause{group.name + "/" + check.name, func(t testing.TB, env *Env) {
				t.Helper()
				requireHooks(t, env)
				check.run(&suite{TB: t, env: env})
			}})
		}
	}
	return all
}

type named struct {
	name string
	run  func(*suite)
}

// requireHooks fails a test whose environment lacks a means to provoke.
func requireHooks(t testing.TB, env *Env) {
	t.Helper()
	v := reflect.ValueOf(*env)
	for i := range v.NumField() {
		if name := v.Type().Field(i).Name; name != "Owned" && v.Field(i).IsZero() {
			t.Fatalf("Env.%s is not set", name)
		}
	}
}
