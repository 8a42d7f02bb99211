package postgres_test

import (
	"testing"

	"github.com/quorate/quorate/integration/conformance"
)

func TestPostgres(t *testing.T) { conformance.Run(t, startPostgres(t).env) }

// TestPostgresStandby runs all of it on a primary and a standby that its commits
// wait for, and that is promoted where a suite deposes a server.
func TestPostgresStandby(t *testing.T) { conformance.Run(t, startPostgresPair(t).env) }

// TestPostgresBouncer runs all of it through PgBouncer in transaction mode, with
// watches that poll.
func TestPostgresBouncer(t *testing.T) { conformance.Run(t, startPostgresBouncer(t).env) }
