package etcd

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// authenticateWithin bounds one authentication. A server needs a tenth of a
// second for it, and longer where many clients authenticate at once.
const authenticateWithin = 3 * time.Second

// tokens lets one call have the client authenticate, for all calls that were
// refused with the token that it had. A token is the client's: the links take
// it from there.
type tokens struct {
	mu     sync.Mutex
	rounds uint64          // authentications that have ended
	err    error           // of the last
	under  *authentication // is under way, if any is
}

type authentication struct {
	done chan struct{}
	err  error
}

// round tells the token that a call is made with from later ones.
func (t *tokens) round() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.rounds
}

// renewToken returns when the client has authenticated since that round.
func (s *servers) renewToken(ctx context.Context, round uint64) error {
	t := &s.tokens
	t.mu.Lock()
	if t.rounds != round {
		defer t.mu.Unlock()
		return t.err
	}
	under := t.under
	if under == nil {
		under = &authentication{done: make(chan struct{})}
		if !s.running.Go(func() { s.authenticate(under) }) {
			t.mu.Unlock()
			return status.Error(codes.Canceled, "the driver was closed")
		}
		t.under = under
	}
	t.mu.Unlock()
	select {
	case <-under.done:
		return under.err
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	}
}

// authenticate makes the client get a token. The client does so whenever it
// opens a stream, so one is opened, and given up.
func (s *servers) authenticate(under *authentication) {
	ctx, cancel := context.WithTimeout(s.life, authenticateWithin)
	defer cancel()
	l, err := s.pick(ctx, false)
	if err == nil {
		_, err = l.conn.NewStream(ctx, &bidirectional, keepAliveMethod)
	}
	t := &s.tokens
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rounds++
	t.err, under.err, t.under = err, err, nil
	close(under.done)
}

// stale reports whether a server refused a call for its token, and the client
// may get another.
func (s *servers) stale(err error) bool {
	native := rpctypes.Error(err)
	return errors.Is(native, rpctypes.ErrInvalidAuthToken) || errors.Is(native, rpctypes.ErrAuthOldRevision) ||
		errors.Is(native, rpctypes.ErrUserEmpty) && s.client.Username != "" && s.client.Password != ""
}
