package faults_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/drivertest"
	"github.com/quorate/quorate/backend/faults"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/internal/memoryenv"
)

const ttl = 10 * time.Second

// bubble runs a test with a faulty driver and a sound one of the same server.
func bubble(t *testing.T, test func(t *testing.T, server *memory.Server, d *faults.Driver, sound driver.Driver)) {
	synctest.Test(t, func(t *testing.T) {
		server := memory.NewServer()
		d, sound := faults.Wrap(memory.NewDriver(server)), memory.NewDriver(server)
		test(t, server, d, sound)
		for _, d := range []driver.Driver{d, sound} {
			if err := d.Close(t.Context()); err != nil {
				t.Errorf("Close: %v", err)
			}
		}
	})
}

func create(key string) driver.Txn { return driver.Txn{Ops: []driver.Op{driver.Create(key, nil)}} }

func there(t *testing.T, d driver.Driver, key string) bool {
	t.Helper()
	read, err := d.Read(t.Context(), driver.Key(key))
	if err != nil {
		t.Fatal(err)
	}
	return len(read[0]) > 0
}

func TestCommitFaults(t *testing.T) {
	bubble(t, func(t *testing.T, _ *memory.Server, d *faults.Driver, sound driver.Driver) {
		d.Next(faults.Commit, faults.Fault{Refuse: true})
		if _, err := d.Commit(t.Context(), create("refused")); !errors.Is(err, driver.ErrUnavailable) || there(t, sound, "refused") {
			t.Errorf("refused: %v, applied %v", err, there(t, sound, "refused"))
		}
		d.Next(faults.Commit, faults.Fault{LoseReply: true})
		if _, err := d.Commit(t.Context(), create("lost")); !errors.Is(err, driver.ErrIndeterminate) || !there(t, sound, "lost") {
			t.Errorf("reply lost: %v, applied %v", err, there(t, sound, "lost"))
		}
		rule := d.NextCommit(func(txn driver.Txn) bool { return txn.Ops[0].Key == "late" }, faults.Fault{LandLater: time.Minute})
		if _, err := d.Commit(t.Context(), create("other")); err != nil {
			t.Errorf("a commit that the rule does not match: %v", err)
		}
		select {
		case <-rule.Hit():
			t.Error("the rule hit another commit")
		default:
		}
		_, err := d.Commit(t.Context(), create("late"))
		<-rule.Hit()
		if !errors.Is(err, driver.ErrIndeterminate) {
			t.Errorf("landing later: %v", err)
		}
		time.Sleep(time.Minute - 1)
		if there(t, sound, "late") {
			t.Error("it landed early")
		}
		time.Sleep(2)
		if !there(t, sound, "late") {
			t.Error("it did not land")
		}
		if d.Calls(faults.Commit) != 4 {
			t.Errorf("%d commits counted, want 4", d.Calls(faults.Commit))
		}
	})
}

func TestDelays(t *testing.T) {
	bubble(t, func(t *testing.T, server *memory.Server, d *faults.Driver, sound driver.Driver) {
		start := time.Now()
		d.Next(faults.Commit, faults.Fault{Delay: time.Second, ReplyDelay: 2 * time.Second})
		go func() {
			time.Sleep(time.Second + 1)
			if !there(t, sound, "k") {
				t.Error("the delayed request has not arrived")
			}
		}()
		if _, err := d.Commit(t.Context(), create("k")); err != nil || time.Since(start) != 3*time.Second {
			t.Errorf("Commit = %v after %v", err, time.Since(start))
		}
		d.Next(faults.Commit, faults.Fault{Delay: time.Hour})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := d.Commit(ctx, create("never")); !errors.Is(err, driver.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a request still under way: %v", err)
		}
		time.Sleep(2 * time.Hour)
		if there(t, sound, "never") {
			t.Error("a request arrived whose caller was told that it never would")
		}
	})
}

func TestPartition(t *testing.T) {
	bubble(t, func(t *testing.T, _ *memory.Server, d *faults.Driver, _ driver.Driver) {
		d.Partition(true)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := d.Read(ctx, driver.Key("k")); !errors.Is(err, driver.ErrUnavailable) {
			t.Errorf("Read across a partition = %v", err)
		}
		time.AfterFunc(time.Minute, func() { d.Partition(false) })
		start := time.Now()
		if _, err := d.Commit(t.Context(), create("k")); err != nil || time.Since(start) != time.Minute {
			t.Errorf("Commit across a partition that ends = %v after %v", err, time.Since(start))
		}
	})
}

func TestWatchFaults(t *testing.T) {
	bubble(t, func(t *testing.T, _ *memory.Server, d *faults.Driver, sound driver.Driver) {
		seen := make(chan time.Time, 8)
		ended := make(chan error, 1)
		d.Next(faults.Watch, faults.Fault{ReplyDelay: time.Second})
		start := time.Now()
		go func() {
			ended <- d.Watch(t.Context(), driver.Key("k"), func([]driver.Entry) { seen <- time.Now() })
		}()
		if at := <-seen; at.Sub(start) != time.Second {
			t.Errorf("a slow watch delivered after %v", at.Sub(start))
		}
		if _, err := sound.Commit(t.Context(), create("k")); err != nil {
			t.Fatal(err)
		}
		<-seen
		d.CutWatches()
		if err := <-ended; !errors.Is(err, driver.ErrUnavailable) {
			t.Errorf("a watch that was cut ended with %v", err)
		}
	})
}

func TestLeaseFaults(t *testing.T) {
	bubble(t, func(t *testing.T, _ *memory.Server, d *faults.Driver, sound driver.Driver) {
		grant := func(key string) driver.Lease {
			lease, err := d.Grant(t.Context(), ttl)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := d.Commit(t.Context(), driver.Txn{Ops: []driver.Op{driver.CreateEphemeral(key, nil)}, Lease: lease.ID()}); err != nil {
				t.Fatal(err)
			}
			return lease
		}
		lease := grant("hollow")
		time.Sleep(ttl / 2)
		d.Next(faults.Renew, faults.Fault{Hollow: true})
		if _, err := lease.Renew(t.Context()); !errors.Is(err, driver.ErrNotCounted) {
			t.Errorf("a hollow renewal = %v, want ErrNotCounted", err)
		}
		d.Next(faults.Renew, faults.Fault{Hollow: true, Believed: true})
		if validFor, err := lease.Renew(t.Context()); err != nil || validFor != ttl {
			t.Errorf("a hollow renewal that is believed = %v, %v", validFor, err)
		}
		time.Sleep(ttl/2 + 1)
		if there(t, sound, "hollow") {
			t.Error("a hollow renewal prolonged the lease")
		}

		lease = grant("early")
		if err := d.ExpireEarly(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		select {
		case <-lease.Lost():
			t.Error("the owner was told")
		default:
		}
		if there(t, sound, "early") {
			t.Error("a lease that expired early kept its key")
		}
		if _, err := lease.Renew(t.Context()); !errors.Is(err, driver.ErrSessionLost) {
			t.Errorf("renewal of a lease that expired early = %v", err)
		}

		d.ExpireLate(3 * ttl)
		lease = grant("late")
		time.Sleep(3*ttl - 1)
		if !there(t, sound, "late") {
			t.Error("a lease that expires late is gone")
		}
		time.Sleep(ttl + 1)
		if there(t, sound, "late") {
			t.Error("a lease that expires late never does")
		}
		select {
		case <-lease.Lost():
		default:
			t.Error("the owner was not told of an ordinary expiry")
		}
	})
}

func TestCloseEndsWhatIsUnderWay(t *testing.T) {
	bubble(t, func(t *testing.T, _ *memory.Server, d *faults.Driver, sound driver.Driver) {
		d.Next(faults.Commit, faults.Fault{LandLater: time.Hour})
		if _, err := d.Commit(t.Context(), create("k")); !errors.Is(err, driver.ErrIndeterminate) {
			t.Fatal(err)
		}
		if err := d.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		if there(t, sound, "k") {
			t.Error("a commit landed after Close")
		}
	})
}

func TestChaosIsRepeatable(t *testing.T) {
	rates := faults.Rates{Refuse: .2, LoseReply: .2, LandLater: .2, Slow: .5, MaxDelay: time.Second, MaxLate: time.Minute}
	run := func(seed uint64) (story string) {
		bubble(t, func(t *testing.T, _ *memory.Server, d *faults.Driver, _ driver.Driver) {
			d.Chaos(seed, rates)
			start := time.Now()
			for i := range 50 {
				_, err := d.Commit(t.Context(), create(fmt.Sprint("k", i)))
				story += fmt.Sprint(time.Since(start), err, "\n")
			}
			d.Chaos(seed, faults.Rates{})
			if _, err := d.Commit(t.Context(), create("calm")); err != nil {
				t.Errorf("after the chaos: %v", err)
			}
		})
		return story
	}
	first := run(1)
	if again := run(1); again != first {
		t.Error("the same seed told two stories")
	}
	if run(2) == first {
		t.Error("two seeds told the same story")
	}
}

// TestConformance: without faults the wrapper is as good as what it wraps.
func TestConformance(t *testing.T) {
	for _, clause := range drivertest.Clauses() {
		t.Run(clause.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				env := memoryenv.New(t)
				open := env.Open
				inner := make(map[driver.Driver]driver.Driver)
				env.Open = func(t testing.TB) driver.Driver {
					d := open(t)
					w := faults.Wrap(d)
					inner[w] = d
					return w
				}
				for _, hook := range []*func(testing.TB, driver.Driver){&env.Cut, &env.Silence, &env.Mute, &env.Heal} {
					bare := *hook
					*hook = func(t testing.TB, d driver.Driver) { bare(t, inner[d]) }
				}
				depose := env.Depose
				env.Depose = func(t testing.TB, d driver.Driver, during func()) { depose(t, inner[d], during) }
				clause.Run(t, env)
			})
		})
	}
}
