package postgres

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/quorate/quorate/backend/driver"
)

var aCreate = driver.Txn{Ops: []driver.Op{driver.Create("quorate/a", nil)}}

// TestCommitAnswers: what surely was not applied is told from what may have
// been, whatever the server or a pooler before it says, or does not say.
func TestCommitAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		answer  func(b *fakeBackend)
		applied bool
		want    error
	}{
		"applied":                       {func(b *fakeBackend) { b.row(applied); b.ready() }, true, nil},
		"refused":                       {func(b *fakeBackend) { b.row(refusal); b.ready() }, false, nil},
		"lease gone":                    {func(b *fakeBackend) { b.row(3); b.ready() }, false, driver.ErrSessionLost},
		"serialization failure":         {func(b *fakeBackend) { b.fail("ERROR", "40001"); b.ready() }, false, driver.ErrUnavailable},
		"deadlock":                      {func(b *fakeBackend) { b.fail("ERROR", "40P01"); b.ready() }, false, driver.ErrUnavailable},
		"cancelled before its commit":   {func(b *fakeBackend) { b.fail("ERROR", "57014"); b.ready() }, false, driver.ErrUnavailable},
		"denied":                        {func(b *fakeBackend) { b.fail("ERROR", "42501"); b.ready() }, false, driver.ErrDenied},
		"no schema":                     {func(b *fakeBackend) { b.fail("ERROR", "3F000"); b.ready() }, false, driver.ErrUnavailable},
		"isolation level":               {func(b *fakeBackend) { b.fail("ERROR", "0A000"); b.ready() }, false, driver.ErrInvalid},
		"failed at its commit":          {func(b *fakeBackend) { b.row(applied); b.fail("ERROR", "40001"); b.ready() }, false, driver.ErrUnavailable},
		"shut down":                     {func(b *fakeBackend) { b.fail("FATAL", "57P01"); _ = b.Flush(); b.conn.Close() }, false, driver.ErrIndeterminate},
		"pooler lost the server":        {func(b *fakeBackend) { b.fail("FATAL", "08P01"); _ = b.Flush(); b.conn.Close() }, false, driver.ErrIndeterminate},
		"pooler lost it, mildly put":    {func(b *fakeBackend) { b.fail("ERROR", "08P01"); b.ready() }, false, driver.ErrIndeterminate},
		"no answer":                     {func(b *fakeBackend) { b.conn.Close() }, false, driver.ErrIndeterminate},
		"half an answer":                {func(b *fakeBackend) { b.row(applied); _ = b.Flush(); b.conn.Close() }, false, driver.ErrIndeterminate},
		"an answer without rows":        {func(b *fakeBackend) { b.ready() }, false, driver.ErrIndeterminate},
		"wait for standby cancelled":    {func(b *fakeBackend) { b.row(applied); notice(b, "SyncRepWaitForLSN"); b.ready() }, false, driver.ErrIndeterminate},
		"another warning of the server": {func(b *fakeBackend) { notice(b, "other"); b.row(applied); b.ready() }, true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			f, d := startFake(t, c.answer)
			result, err := d.Commit(t.Context(), aCreate)
			if !errors.Is(err, c.want) || c.want == nil && err != nil || result.Applied != c.applied {
				t.Errorf("Commit = %+v, %v, want applied %v, %v", result, err, c.applied, c.want)
			}
			if errors.Is(err, driver.ErrUnavailable) && errors.Is(err, driver.ErrIndeterminate) {
				t.Errorf("both unavailable and indeterminate: %v", err)
			}
			var native *pgconn.PgError
			if n, _ := f.counts(); n != 1 {
				t.Errorf("it was sent %d times", n)
			}
			if errors.Is(c.want, driver.ErrUnavailable) && !errors.As(err, &native) {
				t.Errorf("the server's error is out of reach: %v", err)
			}
			if len(f.names) > 0 {
				t.Errorf("statements were prepared: %q", f.names)
			}
		})
	}
}

func notice(b *fakeBackend, routine string) {
	b.Send(&pgproto3.NoticeResponse{Severity: "WARNING", SeverityUnlocalized: "WARNING", Code: "01000", Message: "told to", Routine: routine})
}

// TestGivenUp: a call whose context ends returns at once, and its statement is
// cancelled.
func TestGivenUp(t *testing.T) {
	hold := make(chan struct{})
	f, d := startFake(t, func(*fakeBackend) { <-hold })
	defer close(hold)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := d.Commit(ctx, aCreate)
	if !errors.Is(err, driver.ErrIndeterminate) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Commit = %v, want ErrIndeterminate and the context's error", err)
	}
	select {
	case <-f.cancelled:
	case <-time.After(10 * time.Second):
		t.Error("the statement was not cancelled")
	}
	_, err = d.Read(ctx, driver.Key("quorate/a"))
	if !errors.Is(err, driver.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Read after its context ended = %v", err)
	}
}

// TestLateAnswer: a connection is used again once the server has ended a
// statement that nobody waited for, whether it came to its end or was cancelled.
// A new connection for each such call would keep an overloaded server overloaded.
func TestLateAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		late   func(f *fakeServer, b *fakeBackend)
		opened int
	}{
		"late":      {func(_ *fakeServer, b *fakeBackend) { b.row(applied); b.ready() }, 1},
		"cancelled": {func(f *fakeServer, b *fakeBackend) { <-f.cancelled; b.fail("ERROR", "57014"); b.ready() }, 1},
		"in halves": {func(_ *fakeServer, b *fakeBackend) {
			_, _ = b.conn.Write([]byte{'Z', 0, 0})
			time.Sleep(50 * time.Millisecond)
			_, _ = b.conn.Write([]byte{0, 5, 'I'})
		}, 1},
		"of a standby":     {func(_ *fakeServer, b *fakeBackend) { b.fail("ERROR", codeReadOnly); b.ready() }, 2},
		"without standbys": {func(f *fakeServer, b *fakeBackend) { <-f.cancelled; notice(b, "SyncRepWaitForLSN"); b.ready() }, 2},
		"never":            {func(f *fakeServer, b *fakeBackend) { <-f.cancelled; b.conn.Close() }, 2},
	} {
		t.Run(name, func(t *testing.T) {
			given := make(chan struct{})
			var f *fakeServer
			f, d := startFake(t, func(b *fakeBackend) { <-given; c.late(f, b) })
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			if _, err := d.Commit(ctx, aCreate); !errors.Is(err, driver.ErrIndeterminate) {
				t.Fatalf("Commit = %v, want ErrIndeterminate", err)
			}
			f.mu.Lock()
			f.answer = func(b *fakeBackend) { b.row(applied); b.ready() }
			f.mu.Unlock()
			close(given)
			for deadline := time.Now().Add(10 * time.Second); d.pool.Stat().AcquiredConns() > 0; time.Sleep(time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatal("the connection is still held")
				}
			}
			if result, err := d.Commit(t.Context(), aCreate); err != nil || !result.Applied {
				t.Errorf("the next Commit = %+v, %v", result, err)
			}
			if _, opened := f.counts(); opened != c.opened {
				t.Errorf("%d connections, want %d", opened, c.opened)
			}
		})
	}
}

// TestDeadConnection: a connection that the server closed while it was idle is
// not used, so the outcome of a commit is known.
func TestDeadConnection(t *testing.T) {
	f, d := startFake(t, func(b *fakeBackend) { b.row(applied); b.ready() })
	for range 3 {
		result, err := d.Commit(t.Context(), aCreate)
		if err != nil || !result.Applied {
			t.Fatalf("Commit = %+v, %v", result, err)
		}
		f.closeConns()
	}
}

// TestStandbyConnection: a connection to a server that became a standby is not
// used again.
func TestStandbyConnection(t *testing.T) {
	f, d := startFake(t, func(b *fakeBackend) { b.fail("ERROR", codeReadOnly); b.ready() })
	for range 2 {
		if _, err := d.Commit(t.Context(), aCreate); !errors.Is(err, driver.ErrUnavailable) {
			t.Fatalf("Commit = %v", err)
		}
	}
	if _, opened := f.counts(); opened != 2 {
		t.Errorf("%d connections for two statements, want two", opened)
	}
}

// TestNobodyThere: a commit that found no server surely was not applied.
func TestNobodyThere(t *testing.T) {
	f, d := startFake(t, nil)
	f.listener.Close()
	if _, err := d.Commit(t.Context(), aCreate); !errors.Is(err, driver.ErrUnavailable) || errors.Is(err, driver.ErrIndeterminate) {
		t.Errorf("Commit = %v, want ErrUnavailable", err)
	}
}
