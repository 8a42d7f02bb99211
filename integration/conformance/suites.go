// Package conformance runs, on real servers, what every store must keep: the
// driver's contract and the suite of each primitive. The packages below it do
// so for one store each, and test what is special to it.
package conformance

import (
	"testing"

	"github.com/quorate/quorate/backend/drivertest"
	"github.com/quorate/quorate/internal/checkpointtest"
	"github.com/quorate/quorate/internal/countertest"
	"github.com/quorate/quorate/internal/electiontest"
	"github.com/quorate/quorate/internal/idstest"
	"github.com/quorate/quorate/internal/locktest"
	"github.com/quorate/quorate/internal/membershiptest"
	"github.com/quorate/quorate/internal/partitiontest"
	"github.com/quorate/quorate/internal/quotatest"
	"github.com/quorate/quorate/internal/scheduletest"
	"github.com/quorate/quorate/internal/writetest"
)

// Run runs all suites, one after the other, as subtests.
func Run(t *testing.T, env drivertest.Factory) {
	t.Helper()
	for _, suite := range []struct {
		name string
		run  func(*testing.T, drivertest.Factory)
	}{
		{"driver", drivertest.Run},
		{"election", electiontest.Run},
		{"lock", locktest.Run},
		{"counter", countertest.Run},
		{"membership", membershiptest.Run},
		{"partition", partitiontest.Run},
		{"checkpoint", checkpointtest.Run},
		{"write", writetest.Run},
		{"quota", quotatest.Run},
		{"schedule", scheduletest.Run},
		{"ids", idstest.Run},
	} {
		t.Run(suite.name, func(t *testing.T) { suite.run(t, env) })
	}
}
