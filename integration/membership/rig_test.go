// Package membership tests package membership with real processes on real
// clusters, and measures what many members cost.
package membership

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/integration/cluster"
	"github.com/quorate/quorate/integration/harness"
)

// ttl is that of the members' sessions.
const ttl = 4 * time.Second

func TestMain(m *testing.M) { harness.Main(m, runMember) }

// The tests run on each store.
func TestProcesses(t *testing.T) { harness.EachStore(t, runProcesses) }
func TestScale(t *testing.T)     { harness.EachStore(t, runScale) }

type rig struct {
	t       *testing.T
	store   harness.Store
	cluster *cluster.Cluster
	members []*member // that run
}

func startRig(t *testing.T, store harness.Store) *rig {
	t.Helper()
	return &rig{t: t, store: store, cluster: store.Cluster(t)}
}

// member is a process.
type member struct {
	*harness.Process
	id    string
	out   string
	shown int // lines read so far by removed
}

func (r *rig) start(id, snapshot string) *member {
	r.t.Helper()
	dir := r.t.TempDir()
	m := &member{id: id, out: filepath.Join(dir, "views")}
	var err error
	m.Process, err = harness.StartProcess(dir, id, task{Store: r.store.Name, Addrs: r.cluster.Addrs(), ID: id, Out: m.out, Snapshot: snapshot})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		_ = m.Kill()
		if r.t.Failed() {
			r.t.Logf("log of %s:\n%s", id, m.Tail(2000))
		}
	})
	r.members = append(r.members, m)
	return m
}

// gone takes a member off those that are asked.
func (r *rig) gone(m *member) {
	r.members = slices.DeleteFunc(r.members, func(other *member) bool { return other == m })
}

// kill kills a member, and takes it off those that are asked.
func (r *rig) kill(m *member) {
	r.t.Helper()
	r.gone(m)
	if err := m.Kill(); err != nil {
		r.t.Fatalf("%s: %v", m.id, err)
	}
}

// sights returns the views that the member was delivered so far.
func (m *member) sights(t testing.TB) (all []sight) {
	t.Helper()
	content, err := os.ReadFile(m.out)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	lines := bytes.Split(content, []byte("\n"))
	for _, line := range lines[:len(lines)-1] { // the last may be torn
		var s sight
		if err := json.Unmarshal(line, &s); err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	return all
}

// until waits until the newest view of every member that runs satisfies is.
// It returns how long it took from began until the last of them was delivered
// its view.
func (r *rig) until(began time.Time, patience time.Duration, what string, is func(sight) bool) (took time.Duration) {
	r.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		missing := ""
		took = 0
		for _, m := range r.members {
			all := m.sights(r.t)
			if len(all) == 0 || !is(all[len(all)-1]) {
				missing = m.id
				if len(all) > 0 {
					missing = fmt.Sprintf("%s: %+v", m.id, all[len(all)-1])
				}
				continue
			}
			took = max(took, all[len(all)-1].At.Sub(began))
		}
		if missing == "" {
			return took
		}
		if time.Since(began) > patience+3*time.Second {
			r.t.Fatalf("not within %v: %s (%s)", patience, what, missing)
		}
		<-tick.C
	}
}

// removed returns who was removed in any view since the last call.
func (r *rig) removed() []string {
	r.t.Helper()
	gone := make(map[string]bool)
	for _, m := range r.members {
		all := m.sights(r.t)
		for _, s := range all[m.shown:] {
			for _, id := range s.Removed {
				gone[id] = true
			}
		}
		m.shown = len(all)
	}
	return slices.Sorted(maps.Keys(gone))
}

func shows(ids ...string) func(sight) bool {
	return func(s sight) bool {
		return strings.Join(slices.Sorted(maps.Keys(s.Members)), " ") == strings.Join(ids, " ")
	}
}
