package schedule_test

import (
	"testing"
	"testing/synctest"

	"github.com/quorate/quorate/internal/memoryenv"
	"github.com/quorate/quorate/internal/scheduletest"
)

// TestSuite runs the scenarios of every store in virtual time.
func TestSuite(t *testing.T) {
	for _, s := range scheduletest.Scenarios() {
		t.Run(s.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { s.Run(t, memoryenv.New(t)) })
		})
	}
}
