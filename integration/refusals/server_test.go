package refusals

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// newServer serves on loopback until the test ends.
func newServer(t testing.TB, handler http.Handler) (url string) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server.URL
}
