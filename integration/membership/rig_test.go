// Package membership tests package membership with real processes on real
// clusters, and measures what many members cost.
package membership

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/integration/cluster"
)

// system is a store under test.
type system struct {
	ttl, expiry time.Duration // expiry: the longest that a session lives that is not renewed
	start       func() (*cluster.Cluster, error)
	open        func(addrs []string, opts *backend.Options) (*backend.Store, error)
}

var stores = map[string]system{}

func TestMain(m *testing.M) {
	if arg := os.Getenv(memberEnv); arg != "" {
		os.Exit(runMember(arg))
	}
	os.Exit(m.Run())
}

type rig struct {
	t       *testing.T
	name    string
	system  system
	cluster *cluster.Cluster
	members []*member // that run
}

func startRig(t *testing.T, name string) *rig {
	t.Helper()
	r := &rig{t: t, name: name, system: stores[name]}
	var err error
	if r.cluster, err = r.system.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.cluster.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// member is a process.
type member struct {
	id    string
	out   string
	cmd   *exec.Cmd
	stdin io.WriteCloser
	done  chan struct{}
	shown int // lines read so far by removed
}

func (r *rig) start(id, snapshot string) *member {
	r.t.Helper()
	dir := r.t.TempDir()
	m := &member{id: id, out: filepath.Join(dir, "views"), done: make(chan struct{})}
	arg, err := json.Marshal(task{Store: r.name, Addrs: r.cluster.Addrs(), TTL: r.system.ttl, ID: id, Out: m.out, Snapshot: snapshot})
	if err != nil {
		r.t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		r.t.Fatal(err)
	}
	logFile, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		r.t.Fatal(err)
	}
	defer logFile.Close()
	m.cmd = exec.Command(exe)
	m.cmd.Env = append(os.Environ(), memberEnv+"="+string(arg))
	m.cmd.Stderr = logFile
	if m.stdin, err = m.cmd.StdinPipe(); err != nil {
		r.t.Fatal(err)
	}
	if err := m.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	go func() {
		_ = m.cmd.Wait()
		close(m.done)
	}()
	r.t.Cleanup(func() {
		m.kill(r.t)
		if r.t.Failed() {
			content, _ := os.ReadFile(logFile.Name())
			r.t.Logf("log of %s:\n%s", id, content[max(0, len(content)-2000):])
		}
	})
	r.members = append(r.members, m)
	return m
}

// gone takes a member off those that are asked.
func (r *rig) gone(m *member) {
	r.members = slices.DeleteFunc(r.members, func(other *member) bool { return other == m })
}

func (m *member) kill(testing.TB) {
	_ = m.cmd.Process.Kill()
	<-m.done
}

func (m *member) signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	if err := m.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
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
