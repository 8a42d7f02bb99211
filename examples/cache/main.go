// Command cache is a cache that is spread over the memory of its processes:
// each key is kept by one of them, whichever is asked.
//
//	go run -C examples ./cache -store etcd://127.0.0.1:2379 -listen 127.0.0.1:8081   # and 8082, 8083, ...
//	curl 127.0.0.1:8081/get/some-key
//
// Who keeps a key is chosen by rendezvous from the view of the members
// (membership.View.Choose), without a word to the store. Two processes may see
// different members for a moment, and then a key is loaded twice, which a cache
// can afford. Where a key must have one owner at a time it takes package
// partition, and a gap between two owners: see examples/state/memory.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/singleflight"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/examples/internal/web"
	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/open"
	"github.com/quorate/quorate/restart"
)

func main() {
	openStore := open.Flags(flag.CommandLine, &backend.Options{Namespace: "example-cache"})
	listen := flag.String("listen", "127.0.0.1:8080", "where requests are answered, and the peers' too")
	keep := flag.Duration("keep", time.Minute, "how long a value is kept")
	flag.Parse()
	store, err := openStore()
	if err == nil && *keep <= 0 {
		err = errors.New("-keep must be positive")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cache:", err)
		os.Exit(restart.ExitFailed)
	}
	c := &cache{keep: *keep, values: map[string]value{}}
	restart.Main(func(ctx context.Context) error { return c.run(ctx, store, *listen) }, &restart.Options{Close: []io.Closer{store}})
}

// most is how many values a process keeps.
const most = 100_000

type cache struct {
	group *membership.Group
	id    string
	keep  time.Duration

	loading singleflight.Group // whoever asks for a key that is being loaded waits for it
	mu      sync.Mutex
	values  map[string]value
}

type value struct {
	text string
	till time.Time
}

// run answers, and is a peer of the others, until ctx ends.
func (c *cache) run(ctx context.Context, store *backend.Store, listen string) (err error) {
	if c.group, err = membership.New(store, "cache", nil); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	c.id = listener.Addr().String()
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() error { return web.Serve(ctx, listener, c.handler()) })
	both.Go(func() error {
		defer c.group.Close() // leaves: the others hear of it at once
		fmt.Printf("listening at http://%s\n", c.id)
		// While the store is away this waits; requests are answered all the same.
		if _, err := c.group.Join(ctx, membership.Member{ID: c.id, Addr: c.id}); err != nil {
			return err
		}
		<-ctx.Done()
		return context.Cause(ctx)
	})
	return both.Wait()
}

func (c *cache) handler() http.Handler {
	mux := http.NewServeMux()
	answer := func(get func(context.Context, string) (string, error)) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			text, err := get(r.Context(), r.PathValue("key"))
			if err != nil {
				web.Fail(w, err)
				return
			}
			fmt.Fprint(w, text)
		}
	}
	mux.HandleFunc("GET /get/{key}", answer(c.get))
	mux.HandleFunc("GET /own/{key}", answer(c.own)) // from a peer that holds this one for the keeper
	mux.HandleFunc("GET /peers", func(w http.ResponseWriter, _ *http.Request) {
		for _, m := range c.group.View().Members {
			fmt.Fprintln(w, m.ID)
		}
	})
	return mux
}

// get asks who keeps the key, which may be this process.
func (c *cache) get(ctx context.Context, key string) (string, error) {
	keeper := c.group.View().Choose(key, 1)
	if len(keeper) == 0 || keeper[0].ID == c.id {
		return c.own(ctx, key)
	}
	text, err := web.Do(ctx, http.MethodGet, "http://"+keeper[0].Addr+"/own/"+url.PathEscape(key), nil)
	if err != nil {
		// It may have crashed a moment ago, and is shown until its TTL is over.
		// What is loaded meanwhile is not kept: it is not this process's to keep.
		return load(ctx, key)
	}
	return string(text), nil
}

// own returns the value of a key that this process keeps.
func (c *cache) own(ctx context.Context, key string) (string, error) {
	c.mu.Lock()
	v, found := c.values[key]
	c.mu.Unlock()
	if found && time.Now().Before(v.till) {
		return v.text, nil
	}
	text, err, _ := c.loading.Do(key, func() (any, error) {
		text, err := load(context.WithoutCancel(ctx), key)
		if err != nil {
			return "", err
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		for other := range c.values {
			if len(c.values) < most {
				break
			}
			delete(c.values, other) // whichever comes: maps are in no order
		}
		c.values[key] = value{text, time.Now().Add(c.keep)}
		return text, nil
	})
	return text.(string), err
}

// load stands for what is slow, and worth a cache: a query, a rendering.
func load(ctx context.Context, key string) (string, error) {
	timer := time.NewTimer(10 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
		fmt.Printf("loaded %s\n", key)
		return "the value of " + key, nil
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}
