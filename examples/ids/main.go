// Command ids is a service that hands out numbers, each once, whichever of its
// processes is asked.
//
//	go run -C examples ./ids
//	curl 127.0.0.1:8080/id
//	go run -C examples ./ids -store etcd://127.0.0.1:2379 -listen 127.0.0.1:8081   # as many as you like
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
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/counter"
	"github.com/quorate/quorate/open"
	"github.com/quorate/quorate/restart"
)

func main() {
	openStore := open.Flags(flag.CommandLine, &backend.Options{Namespace: "example-ids"})
	listen := flag.String("listen", "127.0.0.1:8080", "where requests are answered")
	flag.Parse()
	store, err := openStore()
	if err != nil {
		fmt.Fprintln(os.Stderr, "ids:", err)
		os.Exit(restart.ExitFailed)
	}
	ids, err := counter.NewSequence(store, "ids", nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, "ids:", err)
		os.Exit(restart.ExitFailed)
	}
	restart.Main(func(ctx context.Context) error {
		defer ids.Close()
		return serve(ctx, *listen, handler(ids))
	}, &restart.Options{Close: []io.Closer{store}})
}

// handler answers with the next number. Nearly always that takes no longer than
// an atomic addition: numbers are reserved at the store ahead, in blocks, which
// are as large as they are used up quickly. What is not used when the process
// ends is a gap.
func handler(ids *counter.Sequence) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /id", func(w http.ResponseWriter, r *http.Request) {
		// While the store is away what is reserved is handed out; then it waits.
		ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
		defer cancel()
		id, err := ids.Next(ctx)
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, id)
	})
	return mux
}

// serve answers requests until ctx ends, and those under way after that.
func serve(ctx context.Context, address string, handler http.Handler) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	fmt.Printf("listening at http://%s/id\n", listener.Addr())
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	finish, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := server.Shutdown(finish); err != nil {
		return err
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return context.Cause(ctx)
}
