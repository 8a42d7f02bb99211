// Command local keeps its state on the disks of its machines: values are cut
// into slots, and a slot stays with its host, which has the data, as long as
// that comes back. It runs on machines of one's own, by a systemd unit, and in
// a StatefulSet, where the ordinal is the identity and the volume follows it:
// deploy/ has both.
//
//	go run -C examples ./state/local -store etcd://127.0.0.1:2379 -id a -dir /tmp/a -listen 127.0.0.1:8081   # and b, c
//	curl -X PUT -d hello 127.0.0.1:8081/values/x; curl 127.0.0.1:8082/values/x
//
// A host that is away takes its slots out of service; it does not lose them. A
// disk that is lost takes with it what was on it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/examples/internal/web"
	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/open"
	"github.com/quorate/quorate/partition"
	"github.com/quorate/quorate/restart"
)

// What the program needs from the word to stop until it is gone. The manifests
// grant it: a test holds them to what -grace prints.
const (
	drainTimeout = 15 * time.Second
	closeTimeout = 6 * time.Second
)

func main() {
	openStore := open.Flags(flag.CommandLine, &backend.Options{Namespace: "example-state-local"})
	id := flag.String("id", hostname(), "this host, for good: what is in -dir belongs to it")
	dir := flag.String("dir", "", "where the data are")
	listen := flag.String("listen", "127.0.0.1:8080", "where requests are answered, and the peers' too")
	addr := flag.String("addr", "", "where the peers reach this host, -listen by default")
	slots := flag.Int("slots", 8, "into how many slots the values are cut; all hosts need the same")
	away := flag.Duration("away", 10*time.Minute, "how long the slots of a host that is away are kept for it; all hosts need the same")
	grace := flag.Bool("grace", false, "print how long it takes to stop at most, and exit")
	flag.Parse()
	if *grace {
		fmt.Println(drainTimeout + closeTimeout)
		return
	}
	store, err := openStore()
	if err == nil && *dir == "" {
		err = errors.New("-dir is needed")
	}
	if err == nil {
		err = os.MkdirAll(*dir, 0o700)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "local:", err)
		os.Exit(restart.ExitFailed)
	}
	l := &local{store: store, id: *id, addr: *addr, dir: *dir, open: map[int]*file{}}
	restart.Main(func(ctx context.Context) error { return l.run(ctx, *listen, *slots, *away) }, &restart.Options{
		DrainTimeout: drainTimeout, Close: []io.Closer{store}, CloseTimeout: closeTimeout,
	})
}

func hostname() string {
	name, _ := os.Hostname() // where it has none -id is needed, and Join says so
	return name
}

type local struct {
	store *backend.Store
	group *membership.Group
	parts *partition.Partition
	id    string
	addr  string
	dir   string

	mu   sync.Mutex
	open map[int]*file // of the slots that this process has
}

func (l *local) run(ctx context.Context, listen string, slots int, away time.Duration) (err error) {
	if l.group, err = membership.New(l.store, "hosts", nil); err != nil {
		return err
	}
	defer l.group.Close()
	// Grace keeps the slots of a host that is away, so that they are where their
	// data are when it is back.
	if l.parts, err = partition.New(l.group, "slots", &partition.Options{Slots: slots, Grace: away}); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	if l.addr == "" {
		l.addr = listener.Addr().String()
	}
	fmt.Printf("listening at http://%s\n", listener.Addr())
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() error { return web.Serve(ctx, listener, l.handler()) })
	both.Go(func() error {
		self, err := l.group.Join(ctx, membership.Member{ID: l.id, Addr: l.addr})
		if err != nil {
			return err
		}
		return l.parts.Run(ctx, self, l.serve)
	})
	return both.Wait()
}

// serve has a slot's file open while this process has the slot. The store
// knows, for each slot, at which host its data are: its home. A host that is
// given a slot whose home is another one fetches them from there; while that one
// is away it waits, and serves nothing rather than less than was acknowledged.
func (l *local) serve(ctx context.Context, slot *partition.Slot) error {
	home, err := restart.NewCheckpoint[string](l.store, fmt.Sprintf("home/%d", slot.Number()), nil)
	if err != nil {
		return err
	}
	at, _, err := home.Claim(ctx, slot.Guard())
	if err != nil {
		return err
	}
	if at != l.id {
		if err := l.fetch(ctx, slot.Number(), at); err != nil {
			return err
		}
		if err := home.Save(ctx, l.id); err != nil {
			return err
		}
	}
	f, err := openFile(l.path(slot.Number()), slot.Valid)
	if err != nil {
		return err
	}
	l.set(slot.Number(), f)
	fmt.Printf("serving slot %d, token %d, %d values\n", slot.Number(), slot.Token(), f.len())
	defer f.close()
	defer l.set(slot.Number(), nil)
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case err := <-f.failed:
		return err
	}
}

func (l *local) path(slot int) string { return fmt.Sprintf("%s/slot-%d", l.dir, slot) }

func (l *local) set(slot int, f *file) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if delete(l.open, slot); f != nil {
		l.open[slot] = f
	}
}

// fetch replaces what is here of a slot by what its home has, or by nothing
// where it was never served.
func (l *local) fetch(ctx context.Context, slot int, home string) error {
	if home == "" {
		return replace(l.path(slot), nil)
	}
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for said := false; ; said = true {
		if m, here := l.group.View().Lookup(home); here {
			content, err := web.Do(ctx, http.MethodGet, fmt.Sprintf("http://%s/slots/%d", m.Addr, slot), nil)
			if err == nil {
				return replace(l.path(slot), content)
			}
		}
		if !said {
			fmt.Printf("slot %d waits for %s, which has its data\n", slot, home)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (l *local) handler() http.Handler {
	mux := http.NewServeMux()
	web.Values(mux, l.answer)
	mux.HandleFunc("GET /slots/{slot}", func(w http.ResponseWriter, r *http.Request) {
		slot, err := strconv.Atoi(r.PathValue("slot"))
		l.mu.Lock()
		_, open := l.open[slot]
		l.mu.Unlock()
		if err != nil || open { // whoever has the slot now does not ask for it
			web.Fail(w, &web.StatusError{Code: http.StatusConflict, Text: "the slot is in use here"})
			return
		}
		http.ServeFile(w, r, l.path(slot))
	})
	return mux
}

// answer reads or writes a value here, or where it is.
func (l *local) answer(ctx context.Context, asked web.Asked) ([]byte, error) {
	l.mu.Lock()
	f := l.open[l.parts.Slot(asked.Key)]
	l.mu.Unlock()
	owner, known := l.parts.Owner(asked.Key)
	switch {
	case f == nil && asked.Forward && known && owner.ID != l.id:
		return asked.SendTo(ctx, owner.Addr)
	case f == nil:
		return nil, fmt.Errorf("the host of %q is away", asked.Key)
	case asked.Put:
		return nil, f.put(asked.Key, string(asked.Body))
	}
	value, found, err := f.get(asked.Key)
	if err == nil && !found {
		err = web.ErrNoValue
	}
	return []byte(value), err
}
