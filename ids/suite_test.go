package ids_test

import (
	"testing"
	"testing/synctest"

	"github.com/quorate/quorate/internal/idstest"
	"github.com/quorate/quorate/internal/memoryenv"
)

// TestSuite runs the scenarios of every store in virtual time.
func TestSuite(t *testing.T) {
	for _, s := range idstest.Scenarios() {
		t.Run(s.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { s.Run(t, memoryenv.New(t)) })
		})
	}
}
