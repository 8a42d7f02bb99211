package backend_test

import (
	"testing"
	"testing/synctest"

	"github.com/quorate/quorate/internal/memoryenv"
	"github.com/quorate/quorate/internal/writetest"
)

// TestWriteSuite runs the scenarios of every store in virtual time.
func TestWriteSuite(t *testing.T) {
	for _, s := range writetest.Scenarios() {
		t.Run(s.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { s.Run(t, memoryenv.New(t)) })
		})
	}
}
