package state

import (
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/quorate/quorate/integration/cluster"
)

// ledger is what was acknowledged.
type ledger struct {
	entry int64
	term  uint64
}

// follow reads a writer from when it leads until it has made n entries, or to
// its end for n < 0, and holds each to come right after the one before, but for
// one per leader that was killed: it was there, and its reply was not.
func (l *ledger) follow(t *testing.T, p *process, n int) (after string) {
	t.Helper()
	for n != 0 {
		line, more := p.line(t)
		if !more {
			if n > 0 {
				t.Fatal("it has ended")
			}
			return after
		}
		var entry int64
		var term uint64
		switch {
		case scan(line, "leading, term %d: goes on after entry %d", &term, &entry):
			if term <= l.term || entry < l.entry || entry > l.entry+1 {
				t.Errorf("%q comes after entry %d of term %d", line, l.entry, l.term)
			}
			l.term, l.entry = term, entry
		case scan(line, "entry %d, term %d", &entry, &term):
			if term != l.term || entry != l.entry+1 {
				t.Errorf("%q comes after entry %d of term %d", line, l.entry, l.term)
			}
			l.entry = entry
			n--
		case strings.HasPrefix(line, "after term "):
			after = line
			if n < 0 {
				continue
			}
			return after
		default:
			t.Fatalf("the line is %q", line)
		}
	}
	return after
}

// TestExternal: of two writers the one that leads is killed, and the next one
// paused until another leads. No entry that was acknowledged is lost, and what
// the one that was paused still writes is refused by the database.
func TestExternal(t *testing.T) {
	c, err := cluster.StartEtcd(cluster.EtcdConfig{Nodes: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	database, err := cluster.StartPostgres()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := database.Close(); err != nil {
			t.Error(err)
		}
	})
	program := build(t, "external")
	writer := func() *process {
		t.Helper()
		return start(t, program, "-store", "etcd://"+strings.Join(c.Addrs(), ","), "-ttl", "2s",
			"-database", database.URL(), "-pace", "5ms", "-heedless")
	}
	var all ledger
	first := writer()
	all.follow(t, first, 20)
	second := writer()
	first.signal(syscall.SIGKILL)
	all.follow(t, first, -1)
	first.ends(t) //nolint:errcheck // It was killed.
	all.follow(t, second, 20)

	second.signal(syscall.SIGSTOP)
	for more := true; more; { // what it had said by then
		select {
		case line := <-second.lines:
			if !scan(line, "entry %d, term %d", &all.entry, &all.term) {
				t.Fatalf("the line is %q", line)
			}
		default:
			more = false
		}
	}
	third := writer()
	line, _ := third.line(t)
	var next ledger
	if !scan(line, "leading, term %d: goes on after entry %d", &next.term, &next.entry) {
		t.Fatalf("the line is %q", line)
	}
	if next.term <= all.term || next.entry < all.entry {
		t.Errorf("%q comes after entry %d of term %d", line, all.entry, all.term)
	}
	all = next
	all.follow(t, third, 20)
	stale := all.term - 1
	second.signal(syscall.SIGCONT)
	refused := false
	for !refused {
		line, more := second.line(t)
		if !more {
			t.Fatal("it has ended")
		}
		var entry ledger
		switch {
		case scan(line, "after term %d: entry %d,", &entry.term, &entry.entry):
			refused = true
			if entry.term != stale || !strings.HasSuffix(line, "refused by the database: a later leader has been there") {
				t.Errorf("%q, want a refusal of term %d", line, stale)
			}
		case scan(line, "entry %d, term %d", &entry.entry, &entry.term):
			// Made before it was paused, and said after it.
			if entry.term != stale || entry.entry > all.entry-20 {
				t.Errorf("%q was said after a later leader had come", line)
			}
		default:
			t.Fatalf("the line is %q", line)
		}
	}
	second.signal(syscall.SIGTERM)
	for range second.lines { // to the end, before Wait closes the pipe
	}
	if err := second.ends(t); err != nil {
		t.Errorf("the second ended with %v", err)
	}
	third.signal(syscall.SIGTERM)
	all.follow(t, third, -1)
	if err := third.ends(t); err != nil {
		t.Errorf("the third ended with %v", err)
	}

	db, err := pgx.Connect(t.Context(), database.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(t.Context())
	var there ledger
	if err := db.QueryRow(t.Context(), "SELECT entries, term FROM ledger").Scan(&there.entry, &there.term); err != nil {
		t.Fatal(err)
	}
	// The one that was told to stop wrote once more, and could: none was after it.
	if there.term != all.term || there.entry != all.entry+1 {
		t.Errorf("the database has entry %d of term %d, the last that was acknowledged is %d of term %d, and one more", there.entry, there.term, all.entry, all.term)
	}
}
