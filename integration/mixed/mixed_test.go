// Package mixed runs processes of two versions of the library side by side on
// one store: this one, and the first that had all documents in their present
// formats. It has no code of its own but the worker's.
//
// The old one is in testdata/first.tar.gz, so that the test needs neither the
// history of the repository nor a published version: see CONTRIBUTING.md.
package mixed

import (
	"archive/tar"
	"compress/gzip"
	"debug/buildinfo"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/quorate/quorate/integration/cluster"
)

const (
	slots = 8
	adds  = 200
)

// TestVersionsSideBySide: leadership, slots and a checkpoint pass both ways, in
// order and after a crash; members see each other; counters are exact.
func TestVersionsSideBySide(t *testing.T) {
	r := startRig(t)
	first := r.start("old-1")
	r.until("the old one alone", r.shared("old-1"), r.leads("old-1"), r.see("old-1"))
	second := r.start("new-1")
	r.until("beside the new one", r.shared("old-1", "new-1"), r.see("new-1", "old-1"))

	first.tell("count")
	second.tell("count")
	r.until("counted", r.counted("old-1"), r.counted("new-1"))

	r.handOver(first, second)
	r.handOver(second, first)
	first.kill()
	r.until("the old one was killed", r.leads("new-1"), r.shared("new-1"), r.see("new-1"))

	third := r.start("old-2")
	r.until("an old one beside the new one", r.shared("new-1", "old-2"), r.see("new-1", "old-2"))
	third.tell("count")
	r.until("counted", r.counted("old-2"))
	r.handOver(third, second)
	second.kill()
	r.until("the new one was killed", r.leads("old-2"), r.shared("old-2"), r.see("old-2"))

	fourth := r.start("new-2")
	r.until("a new one beside the old one", r.shared("new-2", "old-2"), r.see("new-2", "old-2"))
	r.handOver(fourth, third)
	third.end()
	r.until("the old one has left", r.leads("new-2"), r.shared("new-2"), r.see("new-2"))
	fifth := r.start("old-3")
	r.until("and one that came back", r.shared("new-2", "old-3"), r.see("new-2", "old-3"))
	want := fmt.Sprint(3*adds, 3*adds)
	for _, p := range []*process{fourth, fifth} {
		p.tell("tell")
		r.until("told", func(h *history) error { return is(p.id+" tells", h.tells[p.id], want) })
	}
	fourth.end()
	r.until("the new one has left", r.leads("old-3"), r.shared("old-3"), r.see("old-3"))
	fifth.end()

	h := r.read()
	for _, wrong := range h.wrong {
		t.Error(wrong)
	}
	if len(h.drawn) != 3*adds {
		t.Errorf("%d numbers were drawn, want %d", len(h.drawn), 3*adds)
	}
	if !h.moves["old-new"] || !h.moves["new-old"] {
		t.Errorf("slots have moved %v, want both ways", h.moves)
	}
	t.Logf("%d tenures, to term %d", h.tenures, h.term)
}

// TestHistory tests the test.
func TestHistory(t *testing.T) {
	for journal, wrong := range map[string]int{
		"a-1 lead 2 0\na-1 end 2\nb-1 lead 3 1\nb-1 dead\na-1 lead 4 2\n": 0,
		"a-1 lead 2 0\nb-1 lead 3 1\n":                                    1,
		"a-1 lead 2 0\na-1 end 2\nb-1 lead 2 1\n":                         1,
		"a-1 lead 2 0\na-1 end 2\nb-1 lead 3 0\n":                         1,
		"a-1 run 1 2\na-1 stop 1 2\nb-1 run 1 3\nb-1 dead\na-1 run 1 4\n": 0,
		"a-1 run 1 2\nb-1 run 1 3\n":                                      1,
		"a-1 run 1 2\na-1 stop 1 2\nb-1 run 1 2\n":                        1,
		"a-1 draws 7\nb-1 draws 7\n":                                      1,
		"a-1 stop 1 2\n":                                                  1,
	} {
		file := filepath.Join(t.TempDir(), "journal")
		if err := os.WriteFile(file, []byte(journal+"a-1 torn"), 0o600); err != nil {
			t.Fatal(err)
		}
		if h, err := read(file); err != nil || len(h.wrong) != wrong {
			t.Errorf("%q: %+v, %v, want %d", journal, h, err, wrong)
		}
	}
}

// rig is a server, the two programs and the journal of their processes.
type rig struct {
	t        *testing.T
	servers  *cluster.Cluster
	programs map[string]string // by version
	journal  string
}

func startRig(t *testing.T) *rig {
	t.Helper()
	dir := t.TempDir()
	r := &rig{t: t, journal: filepath.Join(dir, "journal"), programs: map[string]string{
		"old": filepath.Join(dir, "old"), "new": filepath.Join(dir, "new"),
	}}
	if err := os.WriteFile(r.journal, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	source := filepath.Join(dir, "source")
	if err := unpack("testdata/first.tar.gz", source); err != nil {
		t.Fatal(err)
	}
	buildOver(t, source, r.programs["old"])
	run(t, "go", "build", "-o", r.programs["new"], "./worker")
	var err error
	if r.servers, err = cluster.StartEtcd(cluster.EtcdConfig{Nodes: 1}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.servers.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// buildOver builds the worker over the library and the adapter in source: as a
// package of this module, outside the workspace, with a go.mod that has them in
// place of those here. All other modules are the same.
func buildOver(t *testing.T, source, program string) {
	t.Helper()
	mod := filepath.Join(t.TempDir(), "go.mod")
	for name, copied := range map[string]string{"go.mod": mod, "go.sum": strings.TrimSuffix(mod, "mod") + "sum"} {
		content, err := os.ReadFile(filepath.Join("..", name))
		if err == nil {
			err = os.WriteFile(copied, content, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	const root = "github.com/quorate/quorate"
	edit := []string{"mod", "edit", "-replace", root + "=" + source, "-replace", root + "/backend/etcd=" + filepath.Join(source, "backend", "etcd")}
	for _, unused := range []string{"backend/consul", "backend/zookeeper"} {
		here, err := filepath.Abs(filepath.Join("..", "..", unused))
		if err != nil {
			t.Fatal(err)
		}
		edit = append(edit, "-replace", root+"/"+unused+"="+here)
	}
	run(t, "go", append(edit, mod)...)
	t.Setenv("GOWORK", "off")
	run(t, "go", "build", "-modfile", mod, "-mod=mod", "-o", program, "./worker")
	if err := os.Unsetenv("GOWORK"); err != nil { // Setenv brings it back in the end
		t.Fatal(err)
	}
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	for _, dep := range info.Deps {
		if dep.Path == root && dep.Replace != nil && dep.Replace.Path == source {
			return
		}
	}
	t.Fatalf("the old worker is not built over %s: %v", source, info)
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// unpack unpacks an archive of source files into dir.
func unpack(archive, dir string) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	zipped, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	for r := tar.NewReader(zipped); ; {
		h, err := r.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case h.Typeflag != tar.TypeReg:
			continue
		case !filepath.IsLocal(h.Name):
			return fmt.Errorf("%s has %q", archive, h.Name)
		}
		name := filepath.Join(dir, filepath.FromSlash(h.Name))
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			return err
		}
		content, err := io.ReadAll(r)
		if err == nil {
			err = os.WriteFile(name, content, 0o600)
		}
		if err != nil {
			return err
		}
	}
}

// process is a worker.
type process struct {
	rig   *rig
	id    string
	cmd   *exec.Cmd
	stdin io.WriteCloser
	log   string
}

func (r *rig) start(id string) *process {
	r.t.Helper()
	p := &process{rig: r, id: id, log: filepath.Join(filepath.Dir(r.journal), id+".log")}
	p.cmd = exec.Command(r.programs[version(id)], "-id", id, "-etcd", r.servers.Addrs()[0], "-out", r.journal,
		"-slots", fmt.Sprint(slots), "-adds", fmt.Sprint(adds))
	log, err := os.Create(p.log)
	if err != nil {
		r.t.Fatal(err)
	}
	defer log.Close()
	p.cmd.Stderr = log
	if p.stdin, err = p.cmd.StdinPipe(); err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			_ = p.cmd.Process.Kill()
			_ = p.cmd.Wait()
		}
		if content, _ := os.ReadFile(p.log); r.t.Failed() {
			r.t.Logf("log of %s:\n%s", id, content[max(0, len(content)-3000):])
		}
	})
	return p
}

func (p *process) tell(what string) {
	p.rig.t.Helper()
	if _, err := fmt.Fprintln(p.stdin, what); err != nil {
		p.rig.t.Fatalf("%s: %v", p.id, err)
	}
}

// end has the worker leave, which it does in order.
func (p *process) end() {
	p.rig.t.Helper()
	_ = p.stdin.Close()
	timer := time.AfterFunc(time.Minute, func() { _ = p.cmd.Process.Kill() })
	defer timer.Stop()
	if err := p.cmd.Wait(); err != nil {
		p.rig.t.Errorf("%s ended with %v", p.id, err)
	}
	p.dead()
}

func (p *process) kill() {
	p.rig.t.Helper()
	err := p.cmd.Process.Kill()
	_ = p.cmd.Wait()
	if status, _ := p.cmd.ProcessState.Sys().(syscall.WaitStatus); err != nil || status.Signal() != syscall.SIGKILL {
		p.rig.t.Fatalf("%s had ended before it was killed (%v, %v)", p.id, p.cmd.ProcessState, err)
	}
	p.dead()
}

// dead puts into the journal that the process is gone.
func (p *process) dead() {
	p.rig.t.Helper()
	f, err := os.OpenFile(p.rig.journal, os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = fmt.Fprintln(f, p.id, "dead")
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		p.rig.t.Fatal(err)
	}
}

func (r *rig) read() *history {
	r.t.Helper()
	h, err := read(r.journal)
	if err != nil {
		r.t.Fatal(err)
	}
	return h
}

// until waits until all conditions hold at once.
func (r *rig) until(what string, conditions ...func(*history) error) {
	r.t.Helper()
	began := time.Now()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		h := r.read()
		var errs []error
		for _, condition := range conditions {
			errs = append(errs, condition(h))
		}
		err := errors.Join(errs...)
		if err == nil {
			r.t.Logf("%s: %v", what, time.Since(began).Round(10*time.Millisecond))
			return
		}
		if time.Since(began) > time.Minute {
			r.t.Fatalf("not within a minute: %s: %v\nwrong so far: %q", what, err, h.wrong)
		}
		<-tick.C
	}
}

// handOver has one worker resign as long as it leads, until the other does. On
// a busy machine a session may be lost, and leadership pass by itself.
func (r *rig) handOver(from, to *process) {
	r.t.Helper()
	told := uint64(0)
	r.until(from.id+" hands over to "+to.id, func(h *history) error {
		if h.leader == from.id && h.term > told {
			told = h.term
			from.tell("resign")
		}
		return is("the leader is", h.leader, to.id)
	})
}

func is(what, got, want string) error {
	if got != want {
		return fmt.Errorf("%s %q, want %q", what, got, want)
	}
	return nil
}

func (r *rig) leads(id string) func(*history) error {
	return func(h *history) error { return is("the leader is", h.leader, id) }
}

// shared: all slots are run, by these workers in equal parts.
func (r *rig) shared(ids ...string) func(*history) error {
	want := map[string]int{}
	for _, id := range ids {
		want[id] = slots / len(ids)
	}
	return func(h *history) error {
		if got := h.shares(); !maps.Equal(got, want) {
			return fmt.Errorf("the shares are %v, want %v", got, want)
		}
		return nil
	}
}

// see: these workers, which are in order, see each other and nobody else.
func (r *rig) see(ids ...string) func(*history) error {
	return func(h *history) error {
		var errs []error
		for _, id := range ids {
			errs = append(errs, is(id+" sees", h.sees[id], strings.Join(ids, ",")))
		}
		return errors.Join(errs...)
	}
}

func (r *rig) counted(id string) func(*history) error {
	return func(h *history) error { return is(id+" has counted", fmt.Sprint(h.counted[id]), "1") }
}
