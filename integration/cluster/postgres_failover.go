package cluster

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"
)

const (
	// silence is for how long a primary does not answer before a standby is
	// promoted in its place.
	silence = 1500 * time.Millisecond
	// lookEvery is how often the tool looks.
	lookEvery = 100 * time.Millisecond
)

// watch starts the tool that an operator of PostgreSQL has for a failover. It
// promotes a standby when the primary is silent, and makes a deposed primary
// that runs a standby.
func (s *postgresStore) watch(c *Cluster) {
	ctx, cancel := context.WithCancel(context.Background())
	s.end = cancel
	if s.nodes < 3 {
		return
	}
	s.watched.Go(func() {
		heard, ran := time.Now(), false
		tick := time.NewTicker(lookEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			leader := s.leader(c)
			runs := leader.Running()
			if runs && (!ran || s.answers(ctx, leader)) { // one that starts has its time
				heard = time.Now()
			} else if time.Since(heard) > silence && s.failOver(ctx, c) == nil {
				heard = time.Now()
			}
			ran = runs
			s.demote(ctx, c)
		}
	})
}

// answers reports whether a server does.
func (s *postgresStore) answers(ctx context.Context, n *Node) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	var one int
	return lives(s.sessions[n.index].query(ctx, n, "SELECT 1", &one))
}

// failOver promotes the standby that has most. First no standby follows the old
// primary any more: from then on it commits nothing, and answers nothing, though
// it may run. All but it must be there: one that is not may have a commit that
// the others do not have.
func (s *postgresStore) failOver(ctx context.Context, c *Cluster) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	old := s.leader(c)
	var standbys []*Node
	for _, n := range c.nodes {
		if n == old {
			continue
		}
		if !n.Running() || !s.answers(ctx, n) {
			return fmt.Errorf("%s does not serve", n.name)
		}
		standbys = append(standbys, n)
	}
	best, err := s.best(ctx, standbys)
	if err != nil { // the old primary may come back
		for _, n := range standbys {
			err = errors.Join(err, s.follow(n, old.Addr()))
		}
		return err
	}
	// From here on there is no way back, even if it dies while it is promoted.
	s.mu.Lock()
	s.primary = best.index
	s.deposed[old.index] = true
	s.mu.Unlock()
	var promoted bool
	err = s.sessions[best.index].query(ctx, best, "SELECT pg_promote()", &promoted)
	for _, n := range standbys {
		if n != best {
			err = errors.Join(err, s.follow(n, best.Addr()))
		}
	}
	return err
}

// best has standbys follow nobody, and returns the one that has most.
func (s *postgresStore) best(ctx context.Context, standbys []*Node) (best *Node, err error) {
	for _, n := range standbys {
		if err := s.follow(n, ""); err != nil {
			return nil, err
		}
	}
	most := int64(-1)
	for _, n := range standbys {
		has, err := s.alone(ctx, n)
		if err != nil {
			return nil, err
		}
		if has > most {
			best, most = n, has
		}
	}
	return best, nil
}

// follow has a standby follow the server at an address, nobody if it is empty.
func (s *postgresStore) follow(n *Node, upstream string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := s.configure(n, upstream); err != nil {
		return err
	}
	if !n.runs() {
		return nil
	}
	return n.proc.signal(syscall.SIGHUP)
}

// alone waits until a standby follows nobody, and returns how much it has.
func (s *postgresStore) alone(ctx context.Context, n *Node) (has int64, err error) {
	err = poll(ctx, func() (bool, error) {
		var follows bool
		err := s.sessions[n.index].query(ctx, n, `SELECT EXISTS (SELECT FROM pg_stat_wal_receiver),
			greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) - '0/0'::pg_lsn`, &follows, &has)
		return !follows, err
	})
	return has, err
}

// demote makes deposed primaries that run standbys of the primary, once that
// serves.
func (s *postgresStore) demote(ctx context.Context, c *Cluster) {
	for _, n := range c.nodes {
		if s.isDeposed(n) && !s.lingering() && n.Running() && s.answers(ctx, s.leader(c)) {
			_ = n.relaunch() // again at the next look
		}
	}
}

func (s *postgresStore) lingering() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lingers
}

// Depose promotes a standby of PostgreSQL beside a primary that runs and serves
// its clients, as a tool does that lost sight of it. The old one goes on until
// demote is called, which makes it a standby.
func (c *Cluster) Depose(ctx context.Context) (demote func(), err error) {
	s, ok := c.store.(*postgresStore)
	if !ok {
		return nil, fmt.Errorf("deposing a server of %s: %w", c.store.name(), errors.ErrUnsupported)
	}
	linger := func(lingers bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.lingers = lingers
	}
	linger(true)
	demote = func() { linger(false) }
	if err := s.failOver(ctx, c); err != nil {
		demote()
		return nil, err
	}
	return demote, nil
}
