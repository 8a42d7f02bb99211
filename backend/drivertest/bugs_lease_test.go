package drivertest_test

import (
	"context"
	"errors"
	"time"

	"github.com/quorate/quorate/backend/driver"
)

// renewing makes a bug of a lease's Renew.
func renewing(f func(l *lease, ctx context.Context) (time.Duration, error)) func() hooks {
	return func() hooks { return hooks{renew: f} }
}

var leaseBugs = map[string]bug{
	"validity counted from the reply": {renewing(func(l *lease, ctx context.Context) (time.Duration, error) {
		start := time.Now()
		validFor, err := l.Lease.Renew(ctx)
		time.Sleep(300 * time.Millisecond) // the reply is late
		return validFor + time.Since(start), err
	}), "C06-leases/kept-then-expires"},
	"validity of the last request, not the last that counted": {renewing(func(l *lease, ctx context.Context) (time.Duration, error) {
		validFor, err := l.Lease.Renew(ctx)
		if errors.Is(err, driver.ErrNotCounted) {
			return l.TTL(), nil
		}
		return validFor, err
	}), "C06-leases/deposed-server"},
	"renewal assumed": {renewing(func(l *lease, ctx context.Context) (time.Duration, error) {
		validFor, err := l.Lease.Renew(ctx)
		if errors.Is(err, driver.ErrUnavailable) {
			return l.TTL(), nil
		}
		return validFor, err
	}), "C06-leases/renewal-without-reply C09-contexts/silence C09-contexts/cut"},
	"renewal of a lease that is gone": {renewing(func(l *lease, ctx context.Context) (time.Duration, error) {
		validFor, err := l.Lease.Renew(ctx)
		if errors.Is(err, driver.ErrSessionLost) {
			return l.TTL(), nil
		}
		return validFor, err
	}), "C06-leases/kept-then-expires C06-leases/revoked-at-one-instant C07-dead-leases/expired"},
	"renewal sent to nobody": {
		renewing(func(l *lease, _ context.Context) (time.Duration, error) { return l.TTL(), nil }),
		"C06-leases/kept-then-expires C06-leases/renewal-without-reply C06-leases/deposed-server",
	},
	"renewals never count": {renewing(func(l *lease, ctx context.Context) (time.Duration, error) {
		_, err := l.Lease.Renew(ctx)
		return 0, errors.Join(err, driver.ErrNotCounted)
	}), "C06-leases/kept-then-expires"},
	"a shorter lease than it says": {func() hooks {
		return hooks{
			grant: func(b *broken, ctx context.Context, ttl time.Duration) (driver.Lease, error) {
				l, err := b.Driver.Grant(ctx, ttl*9/10)
				if err != nil {
					return nil, err
				}
				return &longer{lease{l, b}, ttl}, nil
			},
		}
	}, "C06-leases/deposed-server C06-leases/renewal-without-reply"},
	"keeps the lease by itself": {func() hooks {
		return hooks{grant: func(b *broken, ctx context.Context, ttl time.Duration) (driver.Lease, error) {
			l, err := b.Driver.Grant(ctx, ttl)
			if err != nil {
				return nil, err
			}
			go func() {
				for b.end.Err() == nil {
					_, err := l.Renew(b.end)
					if errors.Is(err, driver.ErrSessionLost) {
						return
					}
					time.Sleep(ttl / 4)
				}
			}()
			return &lease{l, b}, nil
		}}
	}, "C06-leases/kept-then-expires"},
	"lost from the start": {func() hooks {
		return hooks{lost: func(*lease) <-chan struct{} {
			lost := make(chan struct{})
			close(lost)
			return lost
		}}
	}, "C06-leases/granted"},
	"one id for all": {func() hooks {
		return hooks{id: func(*lease) string { return "lease-1" }}
	}, "C06-leases/granted"},
	"revokes key by key": {func() hooks {
		return hooks{revoke: func(l *lease, ctx context.Context) error {
			for _, e := range l.b.server.Entries() {
				if e.Lease == l.ID() {
					l.b.server.Delete(e.Key)
					time.Sleep(3 * time.Millisecond)
				}
			}
			return l.Lease.Revoke(ctx)
		}}
	}, "C06-leases/revoked-at-one-instant"},
	"revokes later": {func() hooks {
		return hooks{revoke: func(*lease, context.Context) error { return nil }}
	}, "C06-leases/revoked-at-one-instant C07-dead-leases/revoked"},
	"revoking twice is an error": {func() hooks {
		return hooks{revoke: func(l *lease, ctx context.Context) error {
			if !l.b.server.Expire(l.ID()) {
				return errors.New("requested lease not found")
			}
			return l.Lease.Revoke(ctx)
		}}
	}, "C06-leases/revoked-at-one-instant C07-dead-leases/expired C07-dead-leases/revoked C07-dead-leases/queued-while-cut C07-dead-leases/queued-while-silent"},
}

// longer is a lease that claims a TTL that it does not have.
type longer struct {
	lease
	ttl time.Duration
}

func (l *longer) TTL() time.Duration { return l.ttl }

func (l *longer) Renew(ctx context.Context) (time.Duration, error) {
	_, err := l.Lease.Renew(ctx)
	return l.ttl, err
}
