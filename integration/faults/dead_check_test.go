package faults

import (
	"context"
	"runtime/pprof"
	"strings"
	"testing"
	"time"
)

// TestLabelled: a goroutine that is left has the label, and those of others have not.
func TestLabelled(t *testing.T) {
	stop := make(chan struct{})
	defer close(stop)
	leave := func(label string) {
		pprof.Do(t.Context(), pprof.Labels(deadLabel, label), func(context.Context) { go func() { <-stop }() })
	}
	leave("ours")
	leave("another's")
	for deadline := time.Now().Add(10 * time.Second); ; pause(time.Millisecond) {
		left, err := labelled("ours")
		if err != nil {
			t.Fatal(err)
		}
		if len(left) == 1 && strings.Contains(left[0], "TestLabelled") {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("left: %q", left)
		}
	}
}
