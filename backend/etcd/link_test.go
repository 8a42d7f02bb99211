package etcd

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/quorate/quorate/backend/driver"
)

// fakeCluster is servers that answer reads and commits, and know their members.
type fakeCluster struct {
	servers []*fakeServer
	// silent says which server answers nothing, hung which answers no commit.
	silent, hung atomic.Pointer[fakeServer]
	// learner says which server refuses everything, as a learner does.
	learner    atomic.Pointer[fakeServer]
	term       atomic.Uint64
	leaderless atomic.Bool
}

func startCluster(t *testing.T, n int) *fakeCluster {
	t.Helper()
	c := &fakeCluster{}
	c.term.Store(2)
	for range n {
		f := startFake(t)
		f.unary = func(method string, stream grpc.ServerStream) error {
			var txn pb.TxnRequest
			var members pb.MemberListRequest
			var message any = &txn
			if method == memberListMethod {
				message = &members
			}
			if err := stream.RecvMsg(message); err != nil {
				return err
			}
			write := len(txn.Success) > 0 && txn.Success[0].GetRequestPut() != nil
			if c.silent.Load() == f || write && c.hung.Load() == f {
				<-stream.Context().Done()
				return stream.Context().Err()
			}
			header := &pb.ResponseHeader{Revision: 10, RaftTerm: c.term.Load()}
			switch {
			case c.learner.Load() == f:
				return status.Error(codes.FailedPrecondition, notForLearner)
			case method == memberListMethod && c.leaderless.Load():
				return rpctypes.ErrGRPCNoLeader
			case method == memberListMethod:
				return stream.SendMsg(&pb.MemberListResponse{Header: header})
			}
			reply := &pb.TxnResponse{Header: header, Succeeded: true}
			for range txn.Success {
				reply.Responses = append(reply.Responses, &pb.ResponseOp{Response: &pb.ResponseOp_ResponseRange{ResponseRange: &pb.RangeResponse{}}})
			}
			return stream.SendMsg(reply)
		}
		c.servers = append(c.servers, f)
	}
	return c
}

func (c *fakeCluster) endpoints() (all []string) {
	for _, f := range c.servers {
		all = append(all, f.addr)
	}
	return all
}

func (c *fakeCluster) client(t *testing.T) *clientv3.Client {
	t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: c.endpoints(), Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

func (c *fakeCluster) driver(t *testing.T) *Driver {
	t.Helper()
	d, err := NewDriver(c.client(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(context.Background()); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return d
}

// txns is how many transactions the servers were sent.
func (c *fakeCluster) txns() (n int) {
	for _, f := range c.servers {
		n += f.count(txnMethod)
	}
	return n
}

// everywhere reads until each server has answered.
func (c *fakeCluster) everywhere(t *testing.T, d *Driver) {
	t.Helper()
	for slices.ContainsFunc(c.servers, func(f *fakeServer) bool { return f.count(txnMethod) == 0 }) {
		if _, err := d.Read(t.Context(), driver.Key("a")); err != nil {
			t.Fatal(err)
		}
	}
}

func commit(t *testing.T, d *Driver) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	begin := time.Now()
	_, err := d.Commit(ctx, driver.Txn{Ops: []driver.Op{driver.Create("a", nil)}})
	return time.Since(begin), err
}

// givenUpWithin is how soon the outcome of a commit on a silent server is
// settled, with a second for a busy machine.
const givenUpWithin = askEvery + silentAfter + time.Second

// TestLearnerIsAvoided: a learner among the endpoints refuses a call, which another
// server then serves. No call fails, and most do not go to the learner at all.
func TestLearnerIsAvoided(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3)
	d := c.driver(t)
	c.everywhere(t, d)
	learner := c.servers[0]
	before := learner.count(txnMethod)
	c.learner.Store(learner)
	for range 20 {
		if _, err := d.Read(t.Context(), driver.Key("a")); err != nil {
			t.Errorf("Read = %v", err)
		}
		if _, err := commit(t, d); err != nil {
			t.Errorf("Commit = %v", err)
		}
	}
	if n := learner.count(txnMethod) - before; n == 0 || n > 5 {
		t.Errorf("the learner was sent %d calls of 40, want one or a few", n)
	}
}

// TestLearnersAlone: where all servers refuse, the call ends with the refusal.
func TestLearnersAlone(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1)
	d := c.driver(t)
	c.learner.Store(c.servers[0])
	if _, err := commit(t, d); !errors.Is(err, driver.ErrUnavailable) || errors.Is(err, driver.ErrIndeterminate) {
		t.Errorf("Commit = %v, want ErrUnavailable: nothing was applied", err)
	}
}

// TestSilentServerIsAvoided: a server falls silent. The commit that it was sent
// is given up, and was sent to nobody else. No later one goes there.
func TestSilentServerIsAvoided(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3)
	d := c.driver(t)
	c.everywhere(t, d)
	silent := c.servers[0]
	c.silent.Store(silent)
	sent, doubts := c.txns(), 0
	for range 3 { // in turn
		took, err := commit(t, d)
		sent++
		if err != nil {
			doubts++
		}
		if err != nil && !errors.Is(err, driver.ErrIndeterminate) || took > givenUpWithin {
			t.Errorf("Commit = %v after %v, want at most %v", err, took, givenUpWithin)
		}
	}
	if n := c.txns(); doubts != 1 || n != sent {
		t.Errorf("%d commits in doubt, want 1; %d transactions were sent, want %d", doubts, n, sent)
	}
	// The fake answers on the new connection to that server no more than on the old.
	before := silent.count(txnMethod)
	for range 20 {
		if took, err := commit(t, d); err != nil && !errors.Is(err, driver.ErrIndeterminate) || took > givenUpWithin {
			t.Errorf("Commit = %v after %v", err, took)
		}
	}
	if n := silent.count(txnMethod) - before; n > 1 {
		t.Errorf("%d of 20 commits went to the server that is silent", n)
	}
}

// TestOthersAvoidWhoIsLate: while one commit waits at a server, the others do
// not go there, before that one is given up.
func TestOthersAvoidWhoIsLate(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3)
	d := c.driver(t)
	c.everywhere(t, d)
	c.hung.Store(c.servers[0])
	var all sync.WaitGroup
	defer all.Wait()
	for range 3 {
		all.Go(func() { _, _ = commit(t, d) })
	}
	if !pause(t.Context(), 2*lateAfter) {
		t.Fatal("the test ended")
	}
	before := c.servers[0].count(txnMethod)
	for range 20 {
		if _, err := commit(t, d); err != nil {
			t.Errorf("Commit beside one that waits: %v", err)
		}
	}
	if n := c.servers[0].count(txnMethod) - before; n > 0 {
		t.Errorf("%d commits went to the server that is late", n)
	}
	c.term.Store(9) // lets go of those that wait
}

// TestSlowIsNotSilent: a server that gives signs of life is waited for.
func TestSlowIsNotSilent(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 1)
	d := c.driver(t)
	c.everywhere(t, d)
	c.hung.Store(c.servers[0])
	ctx, cancel := context.WithTimeout(t.Context(), 2*(askEvery+silentAfter))
	defer cancel()
	_, err := d.Commit(ctx, driver.Txn{Ops: []driver.Op{driver.Create("a", nil)}})
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, driver.ErrIndeterminate) {
		t.Errorf("Commit = %v, want it to wait for its deadline", err)
	}
	if n := c.servers[0].count(memberListMethod); n < 4 {
		t.Errorf("the server was asked %d times for a sign of life", n)
	}
}

// TestProposalOfAnEarlierLeader: the server that holds a commit gets another
// leader, or loses the one it had. The earlier one may have lost the commit.
func TestProposalOfAnEarlierLeader(t *testing.T) {
	for name, change := range map[string]func(*fakeCluster){
		"another leader": func(c *fakeCluster) { c.term.Add(1) },
		"no leader":      func(c *fakeCluster) { c.leaderless.Store(true) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := startCluster(t, 1)
			d := c.driver(t)
			c.everywhere(t, d)
			c.hung.Store(c.servers[0])
			time.AfterFunc(askEvery/2, func() { change(c) })
			took, err := commit(t, d)
			if !errors.Is(err, driver.ErrIndeterminate) || took > givenUpWithin {
				t.Errorf("Commit = %v after %v, want ErrIndeterminate within %v", err, took, givenUpWithin)
			}
			if n := c.txns(); n != 2 {
				t.Errorf("%d transactions were sent, want a read and a commit", n)
			}
		})
	}
}

// TestEndpointsChange: calls follow the endpoints of the client. Its end is the
// end of the driver's calls.
func TestEndpointsChange(t *testing.T) {
	c := startCluster(t, 2)
	client := c.client(t)
	client.SetEndpoints(c.servers[0].addr)
	d, err := NewDriver(client)
	if err != nil {
		t.Fatal(err)
	}
	for range 4 {
		if _, err := commit(t, d); err != nil {
			t.Error(err)
		}
	}
	client.SetEndpoints(c.servers[1].addr, c.servers[1].addr)
	for range 4 {
		if _, err := commit(t, d); err != nil {
			t.Error(err)
		}
	}
	for i, f := range c.servers {
		if n := f.count(txnMethod); n != 4 {
			t.Errorf("server %d got %d commits, want 4", i, n)
		}
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := commit(t, d); !errors.Is(err, driver.ErrClosed) {
		t.Errorf("Commit with a closed client: %v, want ErrClosed", err)
	}
	if err := d.Close(t.Context()); err != nil {
		t.Errorf("Close: %v", err)
	}
}
