package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/quorate/quorate/membership"
)

// crowdAtRest measures what many members cost the store when nothing happens:
// the requests of all processes that they are spread over.
func crowdAtRest(ctx context.Context, l *lab) ([]line, error) {
	proxies, m, err := l.counted()
	if err != nil {
		return nil, err
	}
	name, n := l.name(), l.scale.crowd
	groups := make([]*membership.Group, min(n, watching))
	for p := range groups {
		store, err := l.open(turned(proxies.Addrs(), p), longTTL)
		if err != nil {
			return nil, err
		}
		if groups[p], err = membership.New(store.Store, name, nil); err != nil {
			return nil, err
		}
	}
	err = inParallel(n, 50, func(i int) error {
		_, err := groups[i%len(groups)].Join(ctx, membership.Member{ID: fmt.Sprintf("m%04d", i), Addr: "10.0.0.1:8080"})
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, g := range groups {
		for len(g.View().Members) < n {
			if err := pause(ctx, 50*time.Millisecond); err != nil {
				return nil, err
			}
		}
	}
	perTTL, err := l.perTTL(ctx, m)
	if err != nil {
		return nil, err
	}
	rate := line{what: fmt.Sprintf("%d members in %d processes: requests of all", n, len(groups)), unit: perSecond, ours: []float64{perTTL / restTTL.Seconds()}}
	rate.goal(ours, l.Name, perStore{"postgres": 100})
	return []line{rate}, nil
}
