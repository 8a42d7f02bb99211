package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/quorate/quorate/backend/driver"
)

// SQLSTATE codes that mean more than that the server refused. The first letters
// of a code are its class.
const (
	classConnection    = "08" // PgBouncer reports a broken connection to the server so
	classAuthorization = "28"
	codeDenied         = "42501"
	codeNoSchema       = "3F000"
	codeNoFunction     = "42883"
	codeNoTable        = "42P01"
	codeReadOnly       = "25006"
	codeUnsupported    = "0A000"
)

// errUnsent marks an error of a statement that never left.
var errUnsent = errors.New("the statement was not sent")

// errNotReplicated is what a commit ends with whose wait for a synchronous
// standby was cancelled: it stands here, and a failover may undo it.
var errNotReplicated = errors.New("the wait for a synchronous standby was cancelled")

// refused returns the error with which the server itself said that it did not
// apply the statement. A statement is one transaction, so any ERROR is that. A
// FATAL is not: PgBouncer sends one when it lost the server, which may have
// committed.
func refused(err error) *pgconn.PgError {
	var refusal *pgconn.PgError
	if !errors.As(err, &refusal) || refusal.SeverityUnlocalized == "FATAL" || refusal.SeverityUnlocalized == "PANIC" ||
		refusal.Severity == "FATAL" || strings.HasPrefix(refusal.Code, classConnection) {
		return nil
	}
	return refusal
}

// classify wraps err as what it is to the caller (C4). writes says that the
// statement was a commit.
func classify(ctx context.Context, err error, writes bool) error {
	if denied := denial(err); denied != nil {
		return fmt.Errorf("%w: %w", driver.ErrDenied, err)
	}
	if refusal := refused(err); refusal != nil {
		switch refusal.Code {
		case codeUnsupported:
			return fmt.Errorf("%w: %w", driver.ErrInvalid, err)
		case codeNoSchema, codeNoFunction, codeNoTable:
			return fmt.Errorf("%w: the schema is not there, or of another version (see postgres.Migrate): %w", driver.ErrUnavailable, err)
		}
		return driver.Ended(ctx, fmt.Errorf("%w: %w", driver.ErrUnavailable, err))
	}
	if writes && !errors.Is(err, errUnsent) {
		return driver.Ended(ctx, fmt.Errorf("%w: %w", driver.ErrIndeterminate, err))
	}
	return driver.Ended(ctx, fmt.Errorf("%w: %w", driver.ErrUnavailable, err))
}

// denial returns the error with which the server refused a connection or a
// statement for lack of permission.
func denial(err error) *pgconn.PgError {
	var denied *pgconn.PgError
	if errors.As(err, &denied) && (denied.Code == codeDenied || strings.HasPrefix(denied.Code, classAuthorization)) {
		return denied
	}
	return nil
}
