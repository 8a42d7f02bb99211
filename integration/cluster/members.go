package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// expel removes a member; its server ends when it hears of it.
func (s *etcdStore) expel(ctx context.Context, n *Node) error {
	client, member, err := s.member(ctx, n)
	if err != nil || member == 0 {
		return err
	}
	err = healthy(ctx, func() error {
		_, err := client.MemberRemove(ctx, member)
		return err
	})
	if err != nil {
		return fmt.Errorf("removing the member: %w", err)
	}
	return nil
}

// healthy asks for a change of the members until it is not refused for want of
// health: for some seconds after a member has come, etcd refuses the next.
func healthy(ctx context.Context, change func() error) error {
	return poll(ctx, func() (bool, error) {
		err := change()
		if errors.Is(err, rpctypes.ErrUnhealthy) {
			return false, nil
		}
		return err == nil, err
	})
}

// readmit replaces the member by a new one with the same name and address.
func (s *etcdStore) readmit(ctx context.Context, n *Node) error {
	return s.readmitAs(ctx, n, (*clientv3.Client).MemberAdd)
}

// ReadmitAsLearner replaces the member of an etcd server, which has been wiped, by
// one that does not vote. Launch starts it.
func ReadmitAsLearner(ctx context.Context, n *Node) error {
	s, ok := n.cluster.store.(*etcdStore)
	if !ok {
		return fmt.Errorf("%s has no learners", n.cluster.store.name())
	}
	return s.readmitAs(ctx, n, (*clientv3.Client).MemberAddAsLearner)
}

func (s *etcdStore) readmitAs(ctx context.Context, n *Node, add func(*clientv3.Client, context.Context, []string) (*clientv3.MemberAddResponse, error)) error {
	if err := s.expel(ctx, n); err != nil {
		return err
	}
	client, _, err := s.member(ctx, n)
	if err != nil {
		return err
	}
	err = healthy(ctx, func() error {
		_, err := add(client, ctx, []string{"http://" + hostPort(n.ports[etcdPeer])})
		return err
	})
	if err != nil {
		return fmt.Errorf("adding the member: %w", err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.joins = true
	return nil
}

// member asks another server for the ID under which a node is a member, 0 if
// it is none, and returns the client of that server.
func (s *etcdStore) member(ctx context.Context, n *Node) (*clientv3.Client, uint64, error) {
	var errs []error
	for _, other := range n.cluster.nodes {
		if other == n || !other.Running() {
			continue
		}
		client, err := s.client(other)
		if err != nil {
			return nil, 0, err
		}
		list, err := client.MemberList(ctx)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, m := range list.Members {
			for _, peer := range m.PeerURLs {
				if peer == "http://"+hostPort(n.ports[etcdPeer]) {
					return client, m.ID, nil
				}
			}
		}
		return client, 0, nil
	}
	return nil, 0, fmt.Errorf("asking for the members: %w", errors.Join(errs...))
}

// votes: a member that was added as one votes from the first.
func (s *etcdStore) votes(context.Context, *Node) (bool, error) { return true, nil }

// expel removes a server from raft's peers.
func (s *consulStore) expel(ctx context.Context, n *Node) error {
	for _, other := range n.cluster.nodes {
		if other == n || !other.Running() {
			continue
		}
		reply, err := s.do(ctx, other, http.MethodDelete,
			"/v1/operator/raft/peer?address="+url.QueryEscape(hostPort(n.ports[consulServer])), nil)
		if err != nil {
			return err
		}
		return reply.Body.Close()
	}
	return errors.New("no other server runs")
}

// readmit has nothing to do: a server that joins becomes a member.
func (s *consulStore) readmit(context.Context, *Node) error { return nil }

// votes asks whether the server is a voter: a new one becomes one when it has
// been healthy for a while (autopilot's server_stabilization_time).
func (s *consulStore) votes(ctx context.Context, n *Node) (bool, error) {
	var raft struct {
		Servers []struct {
			Address string
			Voter   bool
		}
	}
	if _, err := s.get(ctx, n, "/v1/operator/raft/configuration", &raft); err != nil {
		return false, nil //nolint:nilerr // it is asked again
	}
	for _, server := range raft.Servers {
		if server.Address == hostPort(n.ports[consulServer]) && server.Voter {
			return true, nil
		}
	}
	return false, nil
}
