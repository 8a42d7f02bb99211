// Command standby is a primary with a standby, rolled by hand: the leader
// answers, and sends each write to a second process over HTTP, with its term,
// before it acknowledges it. When the primary is killed the standby leads, with
// all that was acknowledged.
//
//	go run -C examples ./state/standby -store etcd://127.0.0.1:2379 -listen 127.0.0.1:8081   # and 8082, 8083
//	curl -X PUT -d hello 127.0.0.1:8081/values/a; curl 127.0.0.1:8082/values/a
//
// With two processes nothing is acknowledged while one of them is away; a third
// takes its place at once.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/election"
	"github.com/quorate/quorate/examples/internal/web"
	"github.com/quorate/quorate/examples/state/internal/replica"
	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/open"
	"github.com/quorate/quorate/restart"
)

func main() {
	openStore := open.Flags(flag.CommandLine, &backend.Options{Namespace: "example-state-standby"})
	listen := flag.String("listen", "127.0.0.1:8080", "where requests are answered, and the peers' too")
	flag.Parse()
	store, err := openStore()
	if err != nil {
		fmt.Fprintln(os.Stderr, "standby:", err)
		os.Exit(restart.ExitFailed)
	}
	s := &standby{}
	restart.Main(func(ctx context.Context) error { return s.run(ctx, store, *listen) }, &restart.Options{Close: []io.Closer{store}})
}

type standby struct {
	node  *replica.Node
	elect *election.Election
	id    string

	mu   sync.Mutex
	lead *election.Leadership // and the rest are set while this process is the primary
	all  *replica.Shard
}

func (s *standby) run(ctx context.Context, store *backend.Store, listen string) error {
	group, err := membership.New(store, "standby", nil)
	if err != nil {
		return err
	}
	if s.node, err = replica.NewNode(store, group, 2); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	s.id = listener.Addr().String()
	if s.elect, err = election.New(store, "primary", &election.Options{ID: s.id}); err != nil {
		return err
	}
	fmt.Printf("listening at http://%s\n", s.id)
	both, working := errgroup.WithContext(ctx)
	answering, stop := context.WithCancel(context.WithoutCancel(ctx))
	both.Go(func() error {
		_ = web.Serve(answering, listener, s.handler()) // as long as the next may take what is here
		return context.Cause(ctx)
	})
	both.Go(func() error {
		defer stop()
		defer group.Close() // leaves
		self, err := group.Join(working, membership.Member{ID: s.id, Addr: s.id})
		if err != nil {
			return err
		}
		s.node.Join(self)
		return restart.Supervise(working, func(ctx context.Context) error {
			return s.elect.Run(ctx, s.primary)
		}, &restart.Policy{Name: "primary"})
	})
	return both.Wait()
}

// primary answers while this process leads. Whoever leads next, it has all that
// was acknowledged: if it was not the standby it takes that from who was.
func (s *standby) primary(ctx context.Context, lead *election.Leadership) error {
	all, err := s.node.Own(ctx, "all", lead.Term(), lead.Guard())
	if err != nil {
		return err
	}
	fmt.Printf("primary, term %d\n", lead.Term())
	s.set(lead, all)
	defer s.set(nil, nil)
	return all.Keep(ctx)
}

func (s *standby) set(lead *election.Leadership, all *replica.Shard) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lead, s.all = lead, all
}

func (s *standby) handler() http.Handler {
	mux := http.NewServeMux()
	s.node.Handle(mux)
	web.Values(mux, s.answer)
	return mux
}

// answer reads or writes a value here, or at the primary.
func (s *standby) answer(ctx context.Context, asked web.Asked) ([]byte, error) {
	s.mu.Lock()
	lead, all := s.lead, s.all
	s.mu.Unlock()
	switch {
	case all == nil && !asked.Forward:
		return nil, fmt.Errorf("%s is not the primary", s.id)
	case all == nil:
		primary, err := s.elect.Leader(ctx)
		if err != nil {
			return nil, err
		}
		return asked.SendTo(ctx, primary.ID)
	case asked.Put:
		return nil, all.Put(ctx, asked.Key, string(asked.Body))
	}
	value, found, err := all.Get(asked.Key)
	switch {
	case err != nil:
		return nil, err
	case !lead.Valid(): // asked last: another may be the primary by now, and have newer
		return nil, fmt.Errorf("%s is not the primary any more", s.id)
	case !found:
		return nil, web.ErrNoValue
	}
	return []byte(value), nil
}
