// Command memory keeps its state in memory alone: values are cut into shards,
// each with one owner, by partition, and copies in other processes, chosen by
// rendezvous. Any one of the processes may be killed at any time: nothing that
// was acknowledged is lost.
//
//	go run -C examples ./state/memory -store etcd://127.0.0.1:2379 -listen 127.0.0.1:8081   # and 8082, 8083
//	curl -X PUT -d hello 127.0.0.1:8081/values/a; curl 127.0.0.1:8082/values/a
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/examples/internal/web"
	"github.com/quorate/quorate/examples/state/internal/replica"
	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/open"
	"github.com/quorate/quorate/partition"
	"github.com/quorate/quorate/restart"
)

func main() {
	openStore := open.Flags(flag.CommandLine, &backend.Options{Namespace: "example-state-memory"})
	listen := flag.String("listen", "127.0.0.1:8080", "where requests are answered, and the peers' too")
	shards := flag.Int("shards", 8, "into how many shards the values are cut; all processes need the same")
	copies := flag.Int("copies", 2, "how many processes have a value before it is acknowledged")
	flag.Parse()
	store, err := openStore()
	if err != nil {
		fmt.Fprintln(os.Stderr, "memory:", err)
		os.Exit(restart.ExitFailed)
	}
	m := &memory{own: map[int]owned{}}
	restart.Main(func(ctx context.Context) error {
		return m.run(ctx, store, *listen, *shards, *copies)
	}, &restart.Options{Close: []io.Closer{store}})
}

type memory struct {
	node  *replica.Node
	parts *partition.Partition
	id    string

	mu  sync.Mutex
	own map[int]owned // by slot
}

type owned struct {
	slot  *partition.Slot
	shard *replica.Shard
}

func (m *memory) run(ctx context.Context, store *backend.Store, listen string, shards, copies int) error {
	group, err := membership.New(store, "memory", nil)
	if err != nil {
		return err
	}
	if m.node, err = replica.NewNode(store, group, copies); err != nil {
		return err
	}
	if m.parts, err = partition.New(group, "shards", &partition.Options{Slots: shards}); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	m.id = listener.Addr().String()
	fmt.Printf("listening at http://%s\n", m.id)
	both, working := errgroup.WithContext(ctx)
	answering, stop := context.WithCancel(context.WithoutCancel(ctx))
	both.Go(func() error {
		_ = web.Serve(answering, listener, m.handler()) // as long as others may take what is here
		return context.Cause(ctx)
	})
	both.Go(func() error {
		defer stop()
		defer group.Close() // leaves
		self, err := group.Join(working, membership.Member{ID: m.id, Addr: m.id})
		if err != nil {
			return err
		}
		m.node.Join(self)
		return m.parts.Run(working, self, m.serve)
	})
	return both.Wait()
}

// serve owns a shard while this process has the slot.
func (m *memory) serve(ctx context.Context, slot *partition.Slot) error {
	shard, err := m.node.Own(ctx, strconv.Itoa(slot.Number()), slot.Token(), slot.Guard())
	if err != nil {
		return err
	}
	fmt.Printf("serving shard %d, token %d\n", slot.Number(), slot.Token())
	m.mu.Lock()
	m.own[slot.Number()] = owned{slot, shard}
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		delete(m.own, slot.Number())
		m.mu.Unlock()
	}()
	return shard.Keep(ctx)
}

func (m *memory) handler() http.Handler {
	mux := http.NewServeMux()
	m.node.Handle(mux)
	web.Values(mux, m.answer)
	return mux
}

// answer reads or writes a value here, or where it is.
func (m *memory) answer(ctx context.Context, asked web.Asked) ([]byte, error) {
	m.mu.Lock()
	own, here := m.own[m.parts.Slot(asked.Key)]
	m.mu.Unlock()
	owner, known := m.parts.Owner(asked.Key)
	switch {
	case !here && asked.Forward && known && owner.ID != m.id:
		return asked.SendTo(ctx, owner.Addr)
	case !here:
		return nil, fmt.Errorf("nobody is known to have %q, try again", asked.Key)
	case asked.Put:
		return nil, own.shard.Put(ctx, asked.Key, string(asked.Body))
	}
	value, found, err := own.shard.Get(asked.Key)
	switch {
	case err != nil:
		return nil, err
	case !own.slot.Valid(): // asked last: it may be another's by now, and newer there
		return nil, fmt.Errorf("slot %d is not this process's any more", own.slot.Number())
	case !found:
		return nil, web.ErrNoValue
	}
	return []byte(value), nil
}
