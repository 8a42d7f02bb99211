package refusals

import (
	"context"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/quorate/quorate/counter"
	"github.com/quorate/quorate/integration/cluster"
)

// TestFullStore: etcd refuses writes while its NOSPACE alarm is on, and says
// what may also mean "applied". One Add that waits costs a few commits per
// second, each a raft entry, and not hundreds; it says so, and is applied once
// when there is space again.
func TestFullStore(t *testing.T) {
	t.Parallel()
	c, err := cluster.StartEtcd(cluster.EtcdConfig{Nodes: 1})
	closing(t, c, err)
	p := onEtcd(t, clientv3.Config{Endpoints: c.Addrs()})
	n, err := counter.New(p.Store, "a", nil)
	must(t, err)
	_, err = n.Add(t.Context(), 1)
	must(t, err)
	admin := etcdClient(t, clientv3.Config{Endpoints: c.Addrs()})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	status := func() *clientv3.StatusResponse {
		t.Helper()
		s, err := admin.Status(ctx, c.Addrs()[0])
		must(t, err)
		return s
	}
	alarm := &pb.AlarmRequest{Action: pb.AlarmRequest_ACTIVATE, MemberID: status().Header.GetMemberId(), Alarm: pb.AlarmType_NOSPACE}
	_, err = pb.NewMaintenanceClient(admin.ActiveConnection()).Alarm(ctx, alarm)
	must(t, err)
	added := make(chan int64, 1)
	go func() {
		value, err := n.Add(ctx, 1)
		if err != nil {
			t.Errorf("Add = %v", err)
		}
		added <- value
	}()
	before, began := status().RaftIndex, time.Now()
	const while = 5 * time.Second
	for time.Since(began) < while {
		select {
		case <-added:
			t.Fatal("the Add did not wait")
		case <-time.After(100 * time.Millisecond):
		}
	}
	if entries := status().RaftIndex - before; entries > 60 {
		t.Errorf("%d raft entries in %v from one Add that waits", entries, while)
	} else {
		t.Logf("%d raft entries in %v", entries, while)
	}
	if p.warnings.Load() == 0 || p.retries.Load() < 3 {
		t.Errorf("%d warnings and %d Retrying events", p.warnings.Load(), p.retries.Load())
	}
	_, err = admin.AlarmDisarm(ctx, &clientv3.AlarmMember{MemberID: alarm.MemberID, Alarm: pb.AlarmType_NOSPACE})
	must(t, err)
	if value := <-added; value != 2 {
		t.Errorf("Add = %d, want 2", value)
	}
	if value, err := n.Value(ctx); err != nil || value != 2 {
		t.Errorf("Value = %d, %v, want 2", value, err)
	}
}
