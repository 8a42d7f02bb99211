// Package web has what those examples share that answer requests.
package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// Limit is how large a body may be.
const Limit = 1 << 20

// Serve answers requests until ctx ends, and those under way after that, two
// seconds at most. It returns the cause of ctx.
func Serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	finish, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := server.Shutdown(finish); err != nil {
		_ = server.Close()
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return context.Cause(ctx)
}

// StatusError is an answer that is no success.
type StatusError struct {
	Code int
	Text string
}

// Error returns the status and what came with it.
func (e *StatusError) Error() string { return fmt.Sprintf("status %d: %s", e.Code, e.Text) }

// client gives up on who does not answer; what is up is on the same network.
var client = &http.Client{Timeout: 2 * time.Second}

// Do sends a request with a body, and returns that of the answer, or a
// *StatusError. The status is zero where there was no answer.
func Do(ctx context.Context, method, url string, body []byte) (answer []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	reply, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer reply.Body.Close()
	if answer, err = io.ReadAll(reply.Body); err != nil {
		return nil, err
	}
	if reply.StatusCode/100 != 2 {
		return nil, &StatusError{reply.StatusCode, string(bytes.TrimSpace(answer))}
	}
	return answer, nil
}

// DoJSON is Do with a body, and an answer unless it is nil, of JSON.
func DoJSON(ctx context.Context, method, url string, body, answer any) error {
	encoded, err := json.Marshal(body)
	if err != nil {
		return err
	}
	reply, err := Do(ctx, method, url, encoded)
	if err != nil || answer == nil {
		return err
	}
	return json.Unmarshal(reply, answer)
}

// Fail answers with an error: its own status if it has one, else 503.
func Fail(w http.ResponseWriter, err error) {
	code := http.StatusServiceUnavailable
	if status, ok := errors.AsType[*StatusError](err); ok {
		code = status.Code
	}
	http.Error(w, err.Error(), code)
}
