package consul

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/quorate/quorate/backend/driver"
)

// lease is a session: without health checks, so that nothing but its TTL, its
// owner and the node it hangs on decide; its keys are deleted when it ends.
type lease struct {
	d    *Driver
	id   string
	ttl  time.Duration
	once sync.Once
	lost chan struct{}
}

// Grant creates a session.
func (d *Driver) Grant(ctx context.Context, ttl time.Duration) (driver.Lease, error) {
	if ttl < time.Millisecond {
		return nil, fmt.Errorf("%w: the TTL is %v", driver.ErrInvalid, ttl)
	}
	entry := &api.SessionEntry{
		Name: "quorate",
		Node: d.opts.Node,
		// Without checks (CreateNoChecks): the default, serfHealth, lets a
		// flapping agent destroy the session. The client leaves out a delay of
		// 0, which the agent then takes for 15 s.
		LockDelay: time.Millisecond,
		Behavior:  api.SessionBehaviorDelete,
		TTL:       ttl.String(),
	}
	var id string
	err := d.urgent(ctx, func(ctx context.Context) (err error) {
		id, _, err = d.client.Session().CreateNoChecks(entry, writing(ctx))
		return err
	})
	if err != nil {
		return nil, driver.Ended(ctx, d.notGranted(ttl, err))
	}
	d.granted.Store(true)
	l := &lease{d: d, id: id, ttl: ttl, lost: make(chan struct{})}
	d.mu.Lock()
	d.leases[id] = l
	d.mu.Unlock()
	return l, nil
}

// notGranted says what a failed Grant means.
//
// A node that is missing is a mistake if it was named and never was there.
// Otherwise it is on its way back: an agent that nobody could reach for a while
// is taken out of the catalog, and registers itself again within moments.
func (d *Driver) notGranted(ttl time.Duration, err error) error {
	classified := classify(err, false, false)
	var status api.StatusError
	if !errors.Is(classified, driver.ErrInvalid) || !errors.As(err, &status) {
		return classified
	}
	missing := strings.Contains(status.Body, "Missing node registration")
	if missing && (d.opts.Node == "" || d.granted.Load()) {
		classified = fmt.Errorf("%w: %w", driver.ErrUnavailable, err)
	}
	return fmt.Errorf("session with a TTL of %v on node %q: %w", ttl, d.opts.Node, classified)
}

func (l *lease) ID() string            { return l.id }
func (l *lease) TTL() time.Duration    { return l.ttl }
func (l *lease) Lost() <-chan struct{} { return l.lost }

// lose tells the lease's owner that it is gone.
func (l *lease) lose() {
	l.once.Do(func() { close(l.lost) })
	l.d.forget(l.id)
}

// forget returns a lease that the driver does not keep any longer; nil if it
// does not know it.
func (d *Driver) forget(id string) *lease {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.leases[id]
	delete(d.leases, id)
	return l
}

// Renew looks the session up linearizably and then renews it.
//
// A renewal alone proves little: a leader that was paused, and deposed
// meanwhile, answers it from its own memory and tells nobody. The look-up
// before it needs a quorum. Say it took effect at v, after this call began, at
// the leader of then, A. The renewal goes the same way, to whoever that server
// takes for the leader, and a server never goes back to an earlier leader: so
// it is A, which starts its timer anew, or a successor. If A was deposed in
// between, its successor came after v and started the timer of every session
// in full. A server's timer is two TTLs. Either way the session stays until
// v + 2 TTL at the least, and validFor = TTL has a TTL to spare.
//
// That spare TTL covers the case that the two requests went different ways (a
// load balancer, an agent that changed servers between them), and the renewal
// to a leader deposed before v: a renewal that counts begins within a TTL of
// the one before, so what it claims ends within two TTLs of that.
//
// The look-up also settles what a 404 means: a leader fresh in office, which
// has not applied all of the log yet, answers one for a session that stands.
// The session is lost only if a look-up, which waits for that, says so, and
// then its keys are gone in the same step; nothing is left to be destroyed.
func (l *lease) Renew(ctx context.Context) (time.Duration, error) {
	select {
	case <-l.lost: // and if a restore brings it back
		return 0, fmt.Errorf("%w: session %s is gone", driver.ErrSessionLost, l.id)
	default:
	}
	if err := l.lookUp(ctx); err != nil {
		return 0, driver.Ended(ctx, err)
	}
	err := l.d.urgent(ctx, func(ctx context.Context) error {
		// Session.Renew would do the same, but keeps a refusal's text.
		var entries []*api.SessionEntry
		_, err := l.d.client.Raw().Write("/v1/session/renew/"+l.id, nil, &entries, writing(ctx))
		return err
	})
	var status api.StatusError
	switch {
	case err == nil:
		return l.ttl, nil
	case errors.As(err, &status) && status.Code == http.StatusNotFound:
		if err := l.lookUp(ctx); err != nil {
			return 0, driver.Ended(ctx, err)
		}
		return 0, fmt.Errorf("%w: the session is there, but not known to all: %w", driver.ErrNotCounted, status)
	default:
		return 0, driver.Ended(ctx, classify(err, false, false))
	}
}

// lookUp fails with ErrSessionLost if the session is gone.
func (l *lease) lookUp(ctx context.Context) error {
	there, err := l.there(ctx)
	switch {
	case err != nil:
		return err
	case !there:
		l.lose()
		return fmt.Errorf("%w: session %s is gone", driver.ErrSessionLost, l.id)
	}
	return nil
}

func (l *lease) there(ctx context.Context) (there bool, _ error) {
	err := l.d.urgent(ctx, func(ctx context.Context) error {
		entry, meta, err := l.d.client.Session().Info(l.id, consistent(ctx))
		if err != nil {
			return err
		}
		if entry == nil && meta.ResultsFilteredByACLs {
			return api.StatusError{Code: http.StatusForbidden, Body: "Permission denied: session " + l.id + " may not be read"}
		}
		there = entry != nil
		return nil
	})
	if err != nil {
		return false, classify(err, false, false)
	}
	return there, nil
}

// Revoke destroys the session and looks whether it is gone: a leader fresh in
// office is content not to find what it does not know of yet. Whether or not
// that succeeds, the driver does not keep the lease any longer.
func (l *lease) Revoke(ctx context.Context) error {
	l.d.forget(l.id)
	for range 2 {
		err := l.d.urgent(ctx, func(ctx context.Context) error {
			_, err := l.d.client.Session().Destroy(l.id, writing(ctx))
			return err
		})
		if err != nil {
			return driver.Ended(ctx, classify(err, false, false))
		}
		there, err := l.there(ctx)
		if err != nil {
			return driver.Ended(ctx, err)
		}
		if !there {
			l.lose()
			return nil
		}
	}
	return fmt.Errorf("%w: session %s is still there", driver.ErrUnavailable, l.id)
}
