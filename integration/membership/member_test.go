package membership

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/integration/harness"
	"github.com/quorate/quorate/membership"
)

// task is what a member process is to do.
type task struct {
	Store    string // the store's name in package harness
	Addrs    []string
	ID       string
	Out      string // the file it appends to
	Snapshot string
}

// sight is a line of a member's file: a view that it was delivered.
type sight struct {
	At      time.Time
	Own     string // its own incarnation
	Members map[string]string
	Held    int
	Stale   bool
	Synced  bool
	Removed []string
}

// runMember is the main function of a member process. On a line of its
// standard input it leaves; at the end of it it ends, with its parent.
func runMember(tk task, logger *slog.Logger) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	leave := make(chan struct{})
	go func() {
		in := bufio.NewScanner(os.Stdin)
		if in.Scan() {
			close(leave)
		}
		for in.Scan() {
		}
		cancel()
	}()
	if err := beMember(ctx, tk, logger, leave); ctx.Err() == nil {
		return err
	}
	return nil
}

func beMember(ctx context.Context, tk task, logger *slog.Logger, leave <-chan struct{}) error {
	store, err := harness.Stores[tk.Store].Open(tk.Addrs, &backend.Options{Namespace: "members", TTL: ttl, Logger: logger})
	if err != nil {
		return err
	}
	defer store.Close()
	group, err := membership.New(store.Store, "g", &membership.Options{SnapshotFile: tk.Snapshot})
	if err != nil {
		return err
	}
	out, err := os.OpenFile(tk.Out, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	joined := make(chan *membership.Registration, 1)
	go func() {
		if reg, err := group.Join(ctx, membership.Member{ID: tk.ID}); err == nil {
			joined <- reg
		} else if ctx.Err() == nil {
			fmt.Fprintln(os.Stderr, "join:", err)
		}
	}()
	go func() {
		<-leave
		if err := (<-joined).Leave(ctx); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}()
	for v, err := range group.Watch(ctx) {
		if err != nil {
			return err
		}
		s := sight{At: time.Now(), Members: make(map[string]string), Held: v.Held(), Stale: v.Stale, Synced: v.Synced}
		for _, m := range v.Members {
			s.Members[m.ID] = m.Incarnation
		}
		for _, m := range v.Change.Removed {
			s.Removed = append(s.Removed, m.ID)
		}
		line, err := json.Marshal(s)
		if err != nil {
			return err
		}
		if _, err := out.Write(append(line, '\n')); err != nil {
			return err
		}
	}
	return errors.New("the watch ended")
}
