package web

import (
	"context"
	"io"
	"net/http"
	"net/url"
)

// Asked is a request for a value, to read it or to write it.
type Asked struct {
	Key  string
	Put  bool
	Body []byte // to be put
	// Forward: it may be sent on to who has the key. It was not yet.
	Forward bool
}

// Values lets answer be asked for values, by GET and PUT: at /values/{key} by
// whoever wants one, at /own/{key} by a peer that holds this process for the one
// that has it.
func Values(mux *http.ServeMux, answer func(context.Context, Asked) ([]byte, error)) {
	for _, pattern := range []string{"/values/{key}", "/own/{key}"} {
		for _, method := range []string{http.MethodGet, http.MethodPut} {
			mux.HandleFunc(method+" "+pattern, func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, Limit))
				if err != nil {
					Fail(w, &StatusError{Code: http.StatusBadRequest, Text: err.Error()})
					return
				}
				asked := Asked{Key: r.PathValue("key"), Put: method == http.MethodPut, Body: body, Forward: pattern == "/values/{key}"}
				value, err := answer(r.Context(), asked)
				if err != nil {
					Fail(w, err)
					return
				}
				_, _ = w.Write(value)
			})
		}
	}
}

// SendTo sends the request on to a peer, for what it has itself.
func (a Asked) SendTo(ctx context.Context, addr string) ([]byte, error) {
	method := http.MethodGet
	if a.Put {
		method = http.MethodPut
	}
	return Do(ctx, method, "http://"+addr+"/own/"+url.PathEscape(a.Key), a.Body)
}

// ErrNoValue answers that there is no value of the key.
var ErrNoValue = &StatusError{Code: http.StatusNotFound, Text: "no such value"}
