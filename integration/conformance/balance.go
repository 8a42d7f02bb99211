package conformance

import (
	"io"
	"net"
	"sync/atomic"
	"testing"
)

// Balance returns an address that leads to servers, each connection to the next of
// them that accepts it, as a balancer for TCP does.
func Balance(t testing.TB, addrs []string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	Must(t, err)
	t.Cleanup(func() { listener.Close() })
	var turn atomic.Int64
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go balance(client, addrs, int(turn.Add(1)))
		}
	}()
	return listener.Addr().String()
}

func balance(client net.Conn, addrs []string, turn int) {
	defer client.Close()
	for i := range addrs {
		server, err := net.Dial("tcp", addrs[(turn+i)%len(addrs)])
		if err != nil {
			continue
		}
		defer server.Close()
		go func() {
			_, _ = io.Copy(server, client)
			server.Close()
		}()
		_, _ = io.Copy(client, server)
		return
	}
}
