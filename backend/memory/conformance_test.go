package memory_test

import (
	"testing"
	"testing/synctest"

	"github.com/quorate/quorate/backend/drivertest"
	"github.com/quorate/quorate/internal/memoryenv"
)

// TestConformance runs every clause in virtual time: what holds there holds
// exactly, and a goroutine that stays is a deadlock.
func TestConformance(t *testing.T) {
	for _, clause := range drivertest.Clauses() {
		t.Run(clause.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { clause.Run(t, memoryenv.New(t)) })
		})
	}
}
