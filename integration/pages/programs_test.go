package pages_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/quorate/quorate/integration/cluster"
)

// TestProgramsLead does with the programs of README.md what it says: started
// twice, one leads; when that one is ended, the other does.
func TestProgramsLead(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(top, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks, err := blocksOf("README.md", string(text))
	if err != nil {
		t.Fatal(err)
	}
	for store, c := range map[string]struct {
		address string // in the program, or as its comment says
		start   func() (*cluster.Cluster, error)
	}{
		"etcd":   {"127.0.0.1:2379", func() (*cluster.Cluster, error) { return cluster.StartEtcd(cluster.EtcdConfig{Nodes: 1}) }},
		"consul": {"127.0.0.1:8500", func() (*cluster.Cluster, error) { return cluster.StartConsul(cluster.ConsulConfig{Nodes: 1}) }},
		"zookeeper": {"127.0.0.1:2181", func() (*cluster.Cluster, error) {
			return cluster.StartZooKeeper(cluster.ZooKeeperConfig{Nodes: 1, TickTime: 2 * time.Second})
		}},
	} {
		t.Run(store, func(t *testing.T) {
			var program string
			for _, b := range blocks {
				if strings.Contains(b.code, own("backend/"+store)) {
					program = b.code
				}
			}
			if !strings.Contains(program, c.address) {
				t.Fatalf("README.md has no program for %s at %s", store, c.address)
			}
			servers, err := c.start()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := servers.Close(); err != nil {
					t.Error(err)
				}
			})
			address := servers.Addrs()[0]
			t.Setenv("CONSUL_HTTP_ADDR", address) // which its program reads
			exe := build(t, strings.ReplaceAll(program, c.address, address))
			first := run(t, exe)
			first.leads(t)
			second := run(t, exe)
			first.ends(t)
			second.leads(t)
			second.ends(t)
		})
	}
}

// build builds a program as a package of this module.
func build(t *testing.T, program string) string {
	t.Helper()
	if err := os.MkdirAll("testdata", 0o755); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("testdata", "program") //nolint:usetesting // it has to lie in this module
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
		_ = os.Remove("testdata")
	}()
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	exe := filepath.Join(t.TempDir(), "program")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", exe, "./"+filepath.ToSlash(dir)).CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return exe
}

// process is a program that runs, and what it has logged.
type process struct {
	cmd   *exec.Cmd
	lines chan string
}

func run(t *testing.T, exe string) *process {
	t.Helper()
	p := &process{exec.Command(exe), make(chan string, 1000)}
	log, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	go func() {
		defer close(p.lines)
		for scan := bufio.NewScanner(log); scan.Scan(); {
			p.lines <- scan.Text()
		}
	}()
	return p
}

// leads waits until the process says that it leads.
func (p *process) leads(t *testing.T) {
	t.Helper()
	var heard []string
	for deadline := time.After(time.Minute); ; {
		select {
		case line, more := <-p.lines:
			if heard = append(heard, line); !more {
				t.Fatalf("it ended: %q", heard)
			}
			var term int
			if _, said, ok := strings.Cut(line, "leading, "); ok {
				if _, err := fmt.Sscanf(said, "term %d", &term); err != nil || term < 1 {
					t.Errorf("%q: %v", line, err)
				}
				return
			}
		case <-deadline:
			t.Fatalf("it does not lead: %q", heard)
		}
	}
}

// ends tells the process to end, which it does cleanly.
func (p *process) ends(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(time.Minute, func() { _ = p.cmd.Process.Kill() })
	defer timer.Stop()
	for range p.lines { // to the end, before Wait closes the pipe
	}
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
}
