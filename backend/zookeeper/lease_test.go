package zookeeper

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/quorate/quorate/backend/driver"
)

// TestRenewCredits: a renewal does not count from itself, but from what was
// acknowledged a tick before, or from the handshake.
func TestRenewCredits(t *testing.T) {
	f := startFake(t)
	d := f.open(t, &Options{Tick: 400 * time.Millisecond})
	lease, err := d.Grant(within(t, 5*time.Second), 4*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	c := d.leases[lease.ID()].reconnector.present()
	select {
	case <-c.admitted:
	case <-time.After(5 * time.Second):
		t.Fatal("the connection was not admitted")
	}
	c.began = time.Now().Add(-2 * time.Second) // as if it were older
	acks := &c.acks
	acks.mu.Lock()
	acks.proved = time.Time{}
	acks.mu.Unlock()
	renew := func() (began time.Time, validFor time.Duration) {
		t.Helper()
		began = time.Now()
		validFor, err := lease.Renew(within(t, 5*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		return began, validFor
	}
	// All that was acknowledged is too new: the handshake counts.
	began, validFor := renew()
	near := func(want time.Duration) bool { return validFor <= want && want-validFor < 200*time.Millisecond }
	if want := 4*time.Second - began.Sub(c.began); !near(want) {
		t.Errorf("the first renewal is valid for %v, want %v: from the handshake", validFor, want)
	}
	// A request that was acknowledged a tick ago counts as soon as there is one.
	old := time.Now().Add(-500 * time.Millisecond)
	acks.mu.Lock()
	acks.acks = []ack{{old.Add(-time.Second), old.Add(-time.Second)}, {old, old}, {old.Add(400 * time.Millisecond), old.Add(400 * time.Millisecond)}}
	acks.mu.Unlock()
	began, validFor = renew()
	if want := 4*time.Second - began.Sub(old); !near(want) {
		t.Errorf("a renewal is valid for %v, want %v: from the request half a second before", validFor, want)
	}
}

// TestRenewTakesALateProof: an answer that came too late for the renewal that
// asked for it serves the next, which need not wait for its own.
func TestRenewTakesALateProof(t *testing.T) {
	f := startFake(t)
	d := f.open(t, nil)
	lease, err := d.Grant(within(t, 5*time.Second), 4*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	c := d.leases[lease.ID()].reconnector.present()
	select {
	case <-c.admitted:
	case <-time.After(5 * time.Second):
		t.Fatal("the connection was not admitted")
	}
	f.set(func() {
		f.answer = func(op int32, _ []byte) (int32, []byte, reaction) {
			if op == opMulti {
				return 0, nil, hold
			}
			return 0, nil, usual
		}
	})
	_, err = lease.Renew(within(t, 50*time.Millisecond))
	wantErr(t, "Renew without an answer", err, driver.ErrUnavailable, context.DeadlineExceeded)
	asked := f.count(opMulti)
	go func() {
		for f.count(opMulti) == asked && t.Context().Err() == nil {
			<-time.After(time.Millisecond)
		}
		c.acks.prove(c.began.Add(time.Millisecond)) // what the first one asked for
	}()
	if _, err := lease.Renew(within(t, 2*time.Second)); err != nil {
		t.Errorf("Renew while an earlier proof comes in: %v", err)
	}
}

// TestLapse: a lease that is not renewed is not kept by pings.
func TestLapse(t *testing.T) {
	f := startFake(t)
	f.timeout = 600 * time.Millisecond
	d := f.open(t, &Options{Tick: 200 * time.Millisecond})
	lease, err := d.Grant(within(t, 5*time.Second), 600*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	line := d.leases[lease.ID()].reconnector
	select {
	case <-line.present().net.down:
	case <-time.After(5 * time.Second):
		t.Error("the connection of a lease that nobody renews stays")
	}
	if _, err := lease.Renew(within(t, 5*time.Second)); err != nil {
		t.Errorf("Renew, while the session stands: %v", err)
	}
}

// TestRevoke ends the session for good, and says so only when the server did.
func TestRevoke(t *testing.T) {
	f := startFake(t)
	d := f.open(t, nil)
	lease, err := d.Grant(within(t, 5*time.Second), 4*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(within(t, 5*time.Second))
	asked := errors.New("the server was asked")
	f.set(func() {
		f.answer = func(op int32, _ []byte) (int32, []byte, reaction) {
			if op == opCloseSession {
				cancel(asked)
				return 0, nil, hold
			}
			return 0, nil, usual
		}
	})
	wantErr(t, "Revoke without an answer", lease.Revoke(ctx), driver.ErrUnavailable, asked)
	if n := len(d.leases); n != 0 {
		t.Errorf("the driver keeps %d leases after the one Revoke that the Store tries", n)
	}
	f.set(func() { f.answer = nil })
	if err := lease.Revoke(within(t, 5*time.Second)); err != nil {
		t.Errorf("Revoke: %v", err)
	}
	if n := f.count(opCloseSession); n < 2 {
		t.Errorf("the server was asked %d times to end the session", n)
	}
	if err := lease.Revoke(within(t, 5*time.Second)); err != nil {
		t.Errorf("second Revoke: %v", err)
	}
	_, err = lease.Renew(within(t, 5*time.Second))
	wantErr(t, "Renew", err, driver.ErrSessionLost)
	_, err = d.Commit(within(t, 5*time.Second), driver.Txn{Lease: lease.ID(), Ops: []driver.Op{driver.CreateEphemeral("a", nil)}})
	wantErr(t, "Commit", err, driver.ErrSessionLost)
}
