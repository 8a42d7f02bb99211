package consul

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/hashicorp/consul/api"

	"github.com/quorate/quorate/backend/driver"
)

// notApplied are what servers say, with status 500, when a write certainly did
// not enter the log: read in the source of Consul 1.22.5 and hashicorp/raft
// 1.7.3. Consul itself repeats a request after the first of them, for that
// reason. Whatever is not here may have been applied, such as "leadership lost
// while committing log", "raft is already shutdown" (raft says it of entries
// in its log, too), "snapshot restored while committing log" and "rpc error
// making call: EOF".
var notApplied = []string{
	"No cluster leader",
	"Raft leader not found in server lookup mapping",
	"No known Consul servers",
	"No path to datacenter",
	"Remote DC has no server currently reachable",
	"rpc error getting client",        // no connection to the leader
	"node is not the leader",          // refused before it was appended
	"leadership transfer in progress", // likewise
	"timed out enqueuing operation",   // likewise
}

// loads are what agents and servers say when they refuse a request for load,
// before its handler runs: with status 429, with 503 for a write at the leader,
// and with 500 or none where the words went through another server.
var loads = []string{
	"RPC rate limit exceeded",           // limits.rpc_rate of an agent
	"rate limit exceeded, try again",    // request_limits of a server
	"rate limit exceeded for operation", // the leader's
	"Rate limit reached, try again later",
}

// uncertain are words that make the above mean nothing: a later attempt's
// error beside an earlier one's.
var uncertain = []string{"leadership lost", "raft is already shutdown", "restored while committing"}

// refusals are what a transaction's failed conditions say, with status 409.
var refusals = []string{
	" exists",               // check-not-exists
	"index is stale",        // cas
	"failed to check index", // check-index: the key is absent
	"failed index check",    // check-index: it has another index
	"lock is already held",  // lock
	"due to lock delay",     // lock: its last owner set a delay
}

// classify says what a failed call means. For a commit, write is true: then
// what may have been applied is ErrIndeterminate. unsent says that the request
// certainly never left.
func classify(err error, write, unsent bool) error {
	unknown := driver.ErrUnavailable
	if write && !unsent && !neverSent(err) {
		unknown = driver.ErrIndeterminate
	}
	var status api.StatusError
	if !errors.As(err, &status) {
		return fmt.Errorf("%w: %w", unknown, err)
	}
	return fmt.Errorf("%w: %w", ofStatus(status, unknown), err)
}

// ofStatus says what an answer other than success means, unknown standing for
// what leaves the outcome open.
func ofStatus(status api.StatusError, unknown error) error {
	switch status.Code {
	case http.StatusUnauthorized, http.StatusForbidden:
		if strings.Contains(status.Body, unknownToken) {
			return driver.ErrUnknownCredential
		}
		return driver.ErrDenied
	case http.StatusRequestEntityTooLarge:
		return driver.ErrTooLarge
	case http.StatusBadRequest:
		return driver.ErrInvalid
	case http.StatusConflict:
		return ofConflict(status, unknown)
	case http.StatusTooManyRequests:
		if strings.Contains(status.Body, tooManyConnections) {
			return driver.ErrUnavailable
		}
		return driver.ErrOverloaded
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		return driver.ErrUnavailable // turned away at the door
	case http.StatusInternalServerError, http.StatusServiceUnavailable:
		if says(status.Body, uncertain) {
			return unknown
		}
		if says(status.Body, loads) {
			return driver.ErrOverloaded
		}
		switch {
		case strings.Contains(status.Body, unknownToken):
			return driver.ErrUnknownCredential
		case strings.Contains(status.Body, "Permission denied"):
			return driver.ErrDenied
		case strings.Contains(status.Body, "Invalid Session TTL"), strings.Contains(status.Body, "Missing node registration"):
			return driver.ErrInvalid
		}
		if says(status.Body, notApplied) {
			return driver.ErrUnavailable
		}
	}
	return unknown
}

// unknownToken is what a server says of a token that is not in its state: one
// that was deleted, and, while it is behind or starts, one that is valid.
const unknownToken = "ACL not found"

// says reports whether one of the texts is in words.
func says(words string, texts []string) bool {
	return slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(words, text) })
}

// tooManyConnections is in the refusal of a connection beyond
// http_max_conns_per_client. That limit counts connections, whoever holds them. A
// driver holds a bounded number and keeps them, so fewer requests would not help,
// and the rate that they had left would delay the return.
const tooManyConnections = "too many concurrent connections"

// overloaded reports whether err, as the client returned it, is a refusal for
// load.
func overloaded(err error) bool {
	return err != nil && errors.Is(classify(withStatus(err), false, false), driver.ErrOverloaded)
}

// errRefused: a condition of the transaction did not hold.
var errRefused = errors.New("refused")

// ofConflict reads a 409. It says that nothing was applied, for whatever
// reason: a condition that did not hold, but also a lack of permission or a
// session that is gone, with nothing but words to tell them apart. No key can
// imitate them: keys have no spaces.
func ofConflict(status api.StatusError, unknown error) error {
	var reply api.TxnResponse
	if err := json.Unmarshal([]byte(status.Body), &reply); err != nil || len(reply.Errors) == 0 {
		return unknown // not Consul's own
	}
	return ofTxnErrors(reply.Errors)
}

func ofTxnErrors(failed api.TxnErrors) error {
	oneSays := func(texts ...string) bool {
		return slices.ContainsFunc(failed, func(f *api.TxnError) bool { return says(f.What, texts) })
	}
	switch {
	case oneSays(unknownToken):
		return driver.ErrUnknownCredential
	case oneSays("Permission denied"):
		return driver.ErrDenied
	case oneSays("invalid session"):
		return driver.ErrSessionLost
	case oneSays(refusals...):
		return errRefused
	case oneSays("unknown KV operation", "Must provide key"):
		return driver.ErrInvalid
	default:
		return driver.ErrUnavailable
	}
}

// neverSent reports whether err says that no connection was made.
func neverSent(err error) bool {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return true
	}
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	return errors.As(err, &dns) || errors.As(err, &cert)
}
