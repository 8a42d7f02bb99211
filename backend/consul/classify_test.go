package consul

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"syscall"
	"testing"

	"github.com/hashicorp/consul/api"

	"github.com/quorate/quorate/backend/driver"
)

func status(code int, body string) error { return api.StatusError{Code: code, Body: body} }

func failed(what ...string) error {
	body := `{"Results":null,"Errors":[`
	for i, w := range what {
		if i > 0 {
			body += ","
		}
		body += fmt.Sprintf(`{"OpIndex":%d,"What":%q}`, i, w)
	}
	return status(409, body+`]}`)
}

func onTheWay(op string, err error) error {
	return &url.Error{Op: "Put", URL: "http://consul/v1/txn", Err: &net.OpError{Op: op, Net: "tcp", Err: err}}
}

// TestClassify holds what each answer to a commit means. The texts are those
// of Consul 1.22.5, as its source and its servers give them.
func TestClassify(t *testing.T) {
	const denied = "Permission denied: token with AccessorID '00000000-0000-0000-0000-000000000002' lacks permission 'key:write' on \"a\""
	for _, c := range []struct {
		name string
		err  error
		want error
	}{
		{"check-not-exists failed", failed(`key "a" exists`), errRefused},
		{"cas failed", failed(`failed to set key "a", index is stale`), errRefused},
		{"check-index failed", failed(`failed index check for key "a", current modify index 4 != 3`), errRefused},
		{"check-index, absent", failed(`failed to check index, key "a" doesn't exist`), errRefused},
		{"held by another", failed(`failed to lock key "a", lock is already held`), errRefused},
		{"lock delay", failed(`failed to lock key "a" due to lock delay`), errRefused},
		{"session gone", failed(`invalid session "adf4238a-882b-9ddc-4a9d-5b6758e4159e"`), driver.ErrSessionLost},
		{"session gone, key there", failed(`key "a" exists`, `invalid session "adf4"`), driver.ErrSessionLost},
		{"conflict for lack of permission", failed(denied), driver.ErrDenied},
		{"permission and conflict", failed(`key "a" exists`, denied), driver.ErrDenied},
		{"key with a telling name", failed(`key "invalid/session" exists`), errRefused},
		{"verb of a later Consul", failed(`unknown KV operation: get-or-else`), driver.ErrInvalid},
		{"conflict with other words", failed(`failed kvs lookup: disk on fire`), driver.ErrUnavailable},
		{"conflict of a proxy", status(409, "Conflict"), driver.ErrIndeterminate},

		{"token refused", status(403, "ACL not found"), driver.ErrUnknownCredential},
		{"token refused, as an inner error", status(500, "rpc error making call: ACL not found"), driver.ErrUnknownCredential},
		{"token refused in a transaction", failed("ACL not found"), driver.ErrUnknownCredential},
		{"denied", status(403, denied), driver.ErrDenied},
		{"denied, as an inner error", status(500, "rpc error making call: "+denied), driver.ErrDenied},
		{"bad request", status(400, "Failed to parse body: unexpected EOF"), driver.ErrInvalid},
		{"too large", status(413, "Request body(600000 bytes) too large, max size: 524288 bytes."), driver.ErrTooLarge},
		{"too many", status(413, "Transaction contains too many operations (129 > 128)"), driver.ErrTooLarge},
		{"too many connections", status(429, "Your IP is issuing too many concurrent connections, please rate limit your calls"), driver.ErrUnavailable},
		{"rate limit", status(429, "rate limit exceeded, try again later or against a different server"), driver.ErrOverloaded},
		{"rate limit, as an inner error", status(500, "rpc error making call: rate limit exceeded, try again later or against a different server"), driver.ErrOverloaded},
		{"agent's rate limit", status(429, "RPC rate limit exceeded"), driver.ErrOverloaded},
		{"leader's rate limit", status(503, "rate limit exceeded for operation that can only be performed by the leader, try again later"), driver.ErrOverloaded},

		{"no leader", status(500, "No cluster leader"), driver.ErrUnavailable},
		{"no leader, forwarded", status(500, "rpc error making call: No cluster leader"), driver.ErrUnavailable},
		{"leader not tracked", status(500, "Raft leader not found in server lookup mapping"), driver.ErrUnavailable},
		{"no servers", status(500, "No known Consul servers"), driver.ErrUnavailable},
		{"leader not reached", status(500, "rpc error getting client: failed to get conn: dial tcp 127.0.0.1:8300: connect: connection refused"), driver.ErrUnavailable},
		{"not the leader", status(500, "raft apply failed: node is not the leader"), driver.ErrUnavailable},
		{"handing over", status(500, "rpc error making call: raft apply failed: leadership transfer in progress"), driver.ErrUnavailable},
		{"queue full", status(500, "raft apply failed: timed out enqueuing operation"), driver.ErrUnavailable},

		{"leadership lost", status(500, "raft apply failed: leadership lost while committing log"), driver.ErrIndeterminate},
		{"leadership lost, forwarded", status(500, "rpc error making call: raft apply failed: leadership lost while committing log"), driver.ErrIndeterminate},
		{"lost, then none", status(500, "leadership lost while committing log; No cluster leader"), driver.ErrIndeterminate},
		{"shut down", status(500, "raft apply failed: raft is already shutdown"), driver.ErrIndeterminate},
		{"restored meanwhile", status(500, "raft apply failed: snapshot restored while committing log"), driver.ErrIndeterminate},
		{"connection to the leader lost", status(500, "rpc error making call: EOF"), driver.ErrIndeterminate},
		{"words not known", status(500, "something else"), driver.ErrIndeterminate},
		{"gateway", status(502, "Bad Gateway"), driver.ErrIndeterminate},
		{"gateway's timeout", status(504, "No cluster leader"), driver.ErrIndeterminate},
		{"service unavailable", status(503, "upstream connect error"), driver.ErrIndeterminate},

		{"refused connection", onTheWay("dial", syscall.ECONNREFUSED), driver.ErrUnavailable},
		{"name not found", &net.DNSError{Err: "no such host", Name: "consul"}, driver.ErrUnavailable},
		{"server's certificate", &url.Error{Op: "Put", Err: &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}}, driver.ErrUnavailable},
		{"reset on reading", onTheWay("read", syscall.ECONNRESET), driver.ErrIndeterminate},
		{"reset on writing", onTheWay("write", syscall.EPIPE), driver.ErrIndeterminate},
		{"deadline", &url.Error{Op: "Put", Err: context.DeadlineExceeded}, driver.ErrIndeterminate},
		{"no reply", &url.Error{Op: "Put", Err: errors.New("EOF")}, driver.ErrIndeterminate},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := classify(c.err, true, false)
			for _, sentinel := range []error{
				errRefused, driver.ErrUnavailable, driver.ErrIndeterminate, driver.ErrSessionLost,
				driver.ErrDenied, driver.ErrTooLarge, driver.ErrInvalid, driver.ErrOverloaded, driver.ErrUnknownCredential,
			} {
				if errors.Is(got, sentinel) != errors.Is(c.want, sentinel) {
					t.Errorf("classify: %v; want %v", got, c.want)
				}
			}
			var native api.StatusError
			if !errors.Is(got, c.err) && !errors.As(got, &native) {
				t.Errorf("%v hides the client's own error", got)
			}
			if read := classify(c.err, false, false); errors.Is(read, driver.ErrIndeterminate) {
				t.Errorf("a read that failed: %v; only commits are indeterminate", read)
			}
			if unsent := classify(&url.Error{Err: context.DeadlineExceeded}, true, true); !errors.Is(unsent, driver.ErrUnavailable) {
				t.Errorf("a commit that was not sent: %v, want ErrUnavailable", unsent)
			}
		})
	}
}
