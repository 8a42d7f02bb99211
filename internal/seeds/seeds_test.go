package seeds

import (
	"context"
	"flag"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestRunOfASimulation(t *testing.T) {
	n := 40
	ran := func() (all []uint64) {
		Run(t, n, func(_ *testing.T, seed uint64) { all = append(all, seed) })
		return all
	}
	want := []uint64{1, 2}
	if !RaceDetector {
		for seed := uint64(3); seed <= 40; seed++ {
			want = append(want, seed)
		}
	}
	if got := ran(); !slices.Equal(got, want) {
		t.Errorf("by default it ran %v, want %v", got, want)
	}
	if n = 19; len(ran()) == 0 {
		t.Error("of 19 seeds it ran none")
	}
	for _, c := range []struct {
		name, value string
		want        []uint64
	}{
		{"seeds", "3", []uint64{1, 2, 3}},
		{"seed", "7", []uint64{7}},
	} {
		before := flag.Lookup(c.name).Value.String()
		if err := flag.Set(c.name, c.value); err != nil {
			t.Fatal(err)
		}
		if got := ran(); !slices.Equal(got, c.want) {
			t.Errorf("with -%s=%s it ran %v, want %v", c.name, c.value, got, c.want)
		}
		if err := flag.Set(c.name, before); err != nil {
			t.Fatal(err)
		}
	}
}

func TestStory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var story Story
		if n := story.Tell("%d begins", 1); n != 1 {
			t.Errorf("the first event is number %d", n)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if !Pause(ctx, 1500*time.Millisecond) {
			t.Error("Pause = false, and nothing has ended")
		}
		story.Tell("it ends")
		want := "          0s  1 begins\n        1.5s  it ends\n"
		if got := story.String(); got != want {
			t.Errorf("the story is\n%swant\n%s", got, want)
		}
		if began := time.Now(); Pause(ctx, time.Hour) || time.Since(began) >= time.Minute {
			t.Errorf("Pause went on for %v beyond its context", time.Since(began))
		}
	})
}
