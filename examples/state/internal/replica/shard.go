package replica

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/examples/internal/web"
	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/restart"
)

// Shard is a shard at its owner.
type Shard struct {
	node  *Node
	name  string
	token uint64
	list  *restart.Checkpoint[[]string]

	mu        sync.Mutex                   // one write, or change of who has a copy, at a time
	followers map[string]membership.Member // who has all of it under this token, by incarnation
	listed    []string                     // the list as it is in the store, nil if that is in doubt
	seq       uint64
}

// errTooFew: nothing was acknowledged, and it may take effect all the same.
var errTooFew = &web.StatusError{Code: http.StatusServiceUnavailable, Text: "too few processes have a copy"}

// Own makes this process the owner of a shard, under a token and a guard of its
// ownership, and returns once it has all that was ever acknowledged.
func (n *Node) Own(ctx context.Context, name string, token uint64, guard backend.Guard) (*Shard, error) {
	list, err := restart.NewCheckpoint[[]string](n.store, "replicas/"+name, nil)
	if err != nil {
		return nil, err
	}
	s := &Shard{node: n, name: name, token: token, list: list, followers: map[string]membership.Member{}}
	if s.listed, _, err = list.Claim(ctx, guard); err != nil {
		return nil, err
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		whole, err := s.find(ctx)
		if err == nil {
			s.seq = whole.Seq
			return s, n.put(name, whole)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: shard %s: %w", context.Cause(ctx), name, err)
		}
	}
}

// find returns the shard as anybody on the list has it.
func (s *Shard) find(ctx context.Context) (state, error) {
	if len(s.listed) == 0 { // nothing was ever acknowledged
		return state{Token: s.token, Values: map[string]string{}}, nil
	}
	if slices.Contains(s.listed, s.node.self) {
		return s.node.take(s.name, s.token)
	}
	missing := fmt.Errorf("none of %v, who have it, is here", s.listed)
	for _, m := range s.node.group.View().Members {
		if slices.Contains(s.listed, m.Incarnation) {
			whole := state{Values: map[string]string{}}
			err := send(ctx, m, s.name, "take", s.token, &whole)
			if err == nil {
				return whole, nil
			}
			missing = errors.Join(missing, err)
		}
	}
	return state{}, missing
}

// Keep gives copies to the processes that are to have one, as they come and go,
// until ctx ends. It returns its cause.
func (s *Shard) Keep(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		if err := s.fit(ctx); err != nil && !errors.Is(err, errTooFew) {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// fit copies the shard to those that are chosen for it, by rendezvous, and then
// lets go who is not.
func (s *Shard) fit(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	wanted := map[string]membership.Member{}
	members := s.node.group.View().Members
	for _, m := range s.node.group.View().Choose(s.name, len(members)) {
		if m.Incarnation == s.node.self || len(wanted) == s.node.copies-1 {
			continue
		}
		if _, follows := s.followers[m.Incarnation]; !follows {
			whole, err := s.node.take(s.name, s.token)
			if err != nil {
				return err
			}
			if send(ctx, m, s.name, "put", whole, nil) != nil {
				continue // the next one, then
			}
			s.followers[m.Incarnation] = m
		}
		wanted[m.Incarnation] = m
	}
	if len(wanted) == s.node.copies-1 {
		s.followers = wanted
	}
	return s.save(ctx)
}

// save makes the list that of who has everything.
func (s *Shard) save(ctx context.Context) error {
	names := []string{s.node.self}
	for name := range s.followers {
		names = append(names, name)
	}
	if len(names) < s.node.copies {
		return errTooFew
	}
	slices.Sort(names)
	if slices.Equal(names, s.listed) {
		return nil
	}
	s.listed = nil // in doubt until that is known
	if err := s.list.Save(ctx, names); err != nil {
		return err
	}
	s.listed = names
	return nil
}

// patience is how long a write may take. It does not end with who asked for it,
// which would look like a failure of those who are to have it.
const patience = 10 * time.Second

// Put writes a value and returns once enough processes have it. After an error
// it may take effect, or may not.
func (s *Shard) Put(ctx context.Context, key, value string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.followers)+1 < s.node.copies {
		return errTooFew
	}
	w := write{Token: s.token, Seq: s.seq + 1, Key: key, Value: value}
	for name, m := range s.followers {
		if send(ctx, m, s.name, "apply", w, nil) != nil {
			delete(s.followers, name) // until it is given a copy again
		}
	}
	// Those who failed have to be off the list before this is acknowledged.
	if err := s.save(ctx); err != nil {
		return err
	}
	if err := s.node.apply(s.name, w); err != nil {
		return err
	}
	s.seq++
	return nil
}

// Get reads a value that was acknowledged. Whoever calls it looks afterwards
// whether the ownership is still valid.
func (s *Shard) Get(key string) (value string, found bool, err error) {
	s.node.mu.Lock()
	defer s.node.mu.Unlock()
	have, err := s.node.shard(s.name, s.token)
	if err != nil {
		return "", false, err
	}
	value, found = have.Values[key]
	return value, found, nil
}
