// Worker is one process of a service that uses all primitives at once. It is
// built twice, over this version of the library and over an old one, so it
// uses only what both have.
//
// It appends a line to a file for each thing that it does, before it gives up
// what it has and after it has got it: the order of the lines, of all workers
// that share the file, tells whether two had the same at a time.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/etcd"
	"github.com/quorate/quorate/counter"
	"github.com/quorate/quorate/election"
	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/partition"
	"github.com/quorate/quorate/restart"
)

var (
	id       = flag.String("id", "", "the worker's `name`")
	endpoint = flag.String("etcd", "", "`address` of the server")
	out      = flag.String("out", "", "`file` that lines are appended to")
	ttl      = flag.Duration("ttl", 10*time.Second, "of the session")
	slots    = flag.Int("slots", 8, "of the partition")
	adds     = flag.Int("adds", 200, "for each time that it is told to count")
)

func main() {
	flag.Parse()
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

// worker is what the parts of the process share.
type worker struct {
	store    *backend.Store
	journal  *os.File
	election *election.Election
	progress *restart.Checkpoint[int]
	count    *counter.Counter
	ids      *counter.Sequence
	tally    *counter.Tally
	group    *membership.Group
	work     *partition.Partition
	resign   chan struct{}
}

func run() (err error) {
	w := &worker{resign: make(chan struct{}, 1)}
	if w.journal, err = os.OpenFile(*out, os.O_APPEND|os.O_WRONLY, 0); err != nil {
		return err
	}
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{*endpoint}, Logger: zap.NewNop()})
	if err != nil {
		return err
	}
	w.store, err = etcd.New(client, &backend.Options{TTL: *ttl, Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		return err
	}
	if err := w.open(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	var all sync.WaitGroup
	for name, part := range map[string]func(context.Context) error{
		"lead": w.lead, "share": w.share, "look": w.look,
	} {
		all.Go(func() {
			if err := part(ctx); err != nil && ctx.Err() == nil {
				cancel(fmt.Errorf("%s: %w", name, err))
			}
		})
	}
	go func() { cancel(w.obey(ctx)) }()
	<-ctx.Done()
	all.Wait()
	ending, end := context.WithTimeout(context.Background(), 10*time.Second)
	defer end()
	err = errors.Join(w.ids.Close(), w.tally.Flush(ending), w.tally.Close(), w.store.Close(), client.Close())
	if cause := context.Cause(ctx); !errors.Is(cause, errTold) {
		err = errors.Join(cause, err)
	}
	return err
}

func (w *worker) open() (err error) {
	if w.election, err = election.New(w.store, "mixed", &election.Options{ID: *id}); err != nil {
		return err
	}
	if w.progress, err = restart.NewCheckpoint[int](w.store, "mixed", nil); err != nil {
		return err
	}
	if w.count, err = counter.New(w.store, "mixed", nil); err != nil {
		return err
	}
	if w.ids, err = counter.NewSequence(w.store, "mixed", nil); err != nil {
		return err
	}
	// One shard: the versions add to the same document.
	if w.tally, err = counter.NewTally(w.store, "mixed", &counter.TallyOptions{Shards: 1}); err != nil {
		return err
	}
	if w.group, err = membership.New(w.store, "mixed", nil); err != nil {
		return err
	}
	w.work, err = partition.New(w.group, "mixed", &partition.Options{Slots: *slots})
	return err
}

// line appends a line, in one write.
func (w *worker) line(what string, args ...any) {
	if _, err := fmt.Fprintln(w.journal, append([]any{*id, what}, args...)...); err != nil {
		log.Fatal(err)
	}
}

// lead campaigns until ctx ends. Each leader goes on from where the last one
// was, counting the tenures.
func (w *worker) lead(ctx context.Context) error {
	for ctx.Err() == nil {
		err := w.election.Run(ctx, func(ctx context.Context, lead *election.Leadership) error {
			before, _, err := w.progress.Claim(ctx, lead.Guard())
			if err == nil {
				err = w.progress.Save(ctx, before+1)
			}
			if err != nil {
				return err
			}
			w.line("lead", lead.Term(), before)
			defer w.line("end", lead.Term())
			select {
			case <-ctx.Done():
			case <-w.resign:
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// share runs its share of the slots until ctx ends, and leaves.
func (w *worker) share(ctx context.Context) error {
	reg, err := w.group.Join(ctx, membership.Member{ID: *id})
	if err != nil {
		return err
	}
	err = w.work.Run(ctx, reg, func(ctx context.Context, slot *partition.Slot) error {
		w.line("run", slot.Number(), slot.Token())
		<-ctx.Done()
		w.line("stop", slot.Number(), slot.Token())
		return nil
	})
	return errors.Join(err, reg.Leave(context.WithoutCancel(ctx)))
}

// look says who the members are, each time that they change.
func (w *worker) look(ctx context.Context) error {
	for view, err := range w.group.Watch(ctx) {
		if err != nil {
			return err
		}
		var all []string
		for _, m := range view.Members {
			all = append(all, m.ID)
		}
		w.line("sees", strings.Join(all, ","))
	}
	return nil
}

var errTold = errors.New("told to end")

// obey does what it is told on the standard input, until that ends.
func (w *worker) obey(ctx context.Context) error {
	for scan := bufio.NewScanner(os.Stdin); scan.Scan(); {
		switch scan.Text() {
		case "resign":
			select {
			case w.resign <- struct{}{}:
			default: // told before
			}
		case "count":
			if err := w.counts(ctx); err != nil {
				return err
			}
		case "tell":
			value, err := w.count.Value(ctx)
			if err != nil {
				return err
			}
			total, err := w.tally.Total(ctx)
			if err != nil {
				return err
			}
			w.line("tells", value, total)
		default:
			return fmt.Errorf("told %q", scan.Text())
		}
	}
	return errTold
}

// counts adds to the counter and to the tally, and draws numbers.
func (w *worker) counts(ctx context.Context) error {
	for range *adds {
		w.tally.Add(1)
		if _, err := w.count.Add(ctx, 1); err != nil {
			return err
		}
		n, err := w.ids.Next(ctx)
		if err != nil {
			return err
		}
		w.line("draws", n)
	}
	if err := w.tally.Flush(ctx); err != nil {
		return err
	}
	w.line("counted")
	return nil
}
