package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime/pprof"
	"strings"
	"sync"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/election"
	"github.com/quorate/quorate/integration/cluster"
	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/partition"
)

// closesDead closes Stores on which everything is at work while the servers
// are silent, and while they are gone.
func (r *run) closesDead(ctx context.Context) {
	r.t.Helper()
	r.probe.stop()
	r.admin.close()
	for _, p := range r.clients {
		p.net.Close() // what is left in it is of clients that have ended
	}
	r.closeStores()
	each := func(do func(*cluster.Node) error) (err error) {
		for _, n := range r.cluster.Nodes() {
			err = errors.Join(err, do(n))
		}
		return err
	}
	silence := func() error { return each((*cluster.Node).Pause) }
	if err := r.closeDead(ctx, "silent", silence); err != nil {
		r.t.Error(err)
	}
	if err := errors.Join(each((*cluster.Node).Resume), r.cluster.WaitReady(ctx)); err != nil {
		r.t.Fatal(err)
	}
	if err := r.closeDead(ctx, "gone", r.cluster.KillAll); err != nil {
		r.t.Error(err)
	}
}

// closeDead closes a Store on servers that die. Its goroutines have a label: other
// stores are tested in this process at the same time.
func (r *run) closeDead(ctx context.Context, how string, die func() error) (err error) {
	label := r.rig.Name + " " + how
	pprof.Do(ctx, pprof.Labels(deadLabel, label), func(ctx context.Context) { err = r.closeOn(ctx, how, die) })
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(3 * time.Second); ; pause(10 * time.Millisecond) {
		left, err := labelled(label)
		if err != nil || len(left) == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("on servers that are %s Close has left goroutines:\n%s", how, strings.Join(left, "\n\n"))
		}
	}
}

// deadLabel is the label of the goroutines of closeDead.
const deadLabel = "dead"

// labelled returns the stacks of goroutines with this label, those that run servers
// left out. Stacks that are the same are one.
func labelled(label string) (stacks []string, err error) {
	var profile bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&profile, 1); err != nil {
		return nil, err
	}
	for stack := range strings.SplitSeq(profile.String(), "\n\n") {
		if strings.Contains(stack, fmt.Sprintf("%q:%q", deadLabel, label)) &&
			!strings.Contains(stack, "integration/cluster.") && !strings.Contains(stack, "os/exec.") {
			stacks = append(stacks, stack)
		}
	}
	return stacks, nil
}

func (r *run) closeOn(ctx context.Context, how string, die func() error) error {
	const timeout = 2 * time.Second
	store, err := r.rig.Open(r.cluster.Addrs(), &backend.Options{Namespace: "dead/" + how, TTL: r.ttl, CloseTimeout: timeout})
	if err != nil {
		return err
	}
	var working, ended sync.WaitGroup
	if err := everything(ctx, store.Store, &working, &ended); err != nil {
		return errors.Join(err, store.Close())
	}
	working.Wait()
	if err := die(); err != nil {
		return err
	}
	began := time.Now()
	closing := store.Store.Close()
	took := time.Since(began)
	ended.Wait()
	_ = store.Close() // the client too
	r.t.Logf("on servers that are %s Close took %v: %v", how, took.Round(time.Millisecond), closing)
	if took > timeout+500*time.Millisecond {
		return fmt.Errorf("on servers that are %s Close took %v", how, took)
	}
	return nil
}

// everything leads, is a member, and runs slots; working is done when it does,
// ended when all of it has returned.
func everything(ctx context.Context, store *backend.Store, working, ended *sync.WaitGroup) error {
	e, err := election.New(store, plain, nil)
	if err != nil {
		return err
	}
	group, err := membership.New(store, shared, nil)
	if err != nil {
		return err
	}
	p, err := partition.New(group, shared, &partition.Options{Slots: 1})
	if err != nil {
		return err
	}
	working.Add(2)
	ended.Go(func() {
		_ = e.Run(ctx, func(leading context.Context, _ *election.Leadership) error {
			working.Done()
			<-leading.Done()
			return nil
		})
	})
	ended.Go(func() {
		reg, err := group.Join(ctx, membership.Member{ID: "me"})
		if err != nil {
			return
		}
		_ = p.Run(ctx, reg, func(running context.Context, _ *partition.Slot) error {
			working.Done()
			<-running.Done()
			return nil
		})
	})
	return nil
}
