package postgres_test

import (
	"testing"

	"github.com/quorate/quorate/backend/drivertest"
	"github.com/quorate/quorate/integration/conformance"
)

func TestPostgres(t *testing.T) { conformance.Run(t, startPostgres(t).env) }

// TestPostgresStandby runs the contract on a primary and a standby that its
// commits wait for, and that is promoted where the contract deposes a server.
func TestPostgresStandby(t *testing.T) { drivertest.Run(t, startPostgresPair(t).env) }

// TestPostgresBouncer runs the contract through PgBouncer in transaction mode,
// with watches that poll.
func TestPostgresBouncer(t *testing.T) { drivertest.Run(t, startPostgresBouncer(t).env) }
