// Package tour runs the tour of the examples on real clusters of three servers;
// its own tests run it on etcd.
package tour

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/integration/cluster"
	"github.com/quorate/quorate/integration/harness"
)

// urls are those of the stores, without the servers' addresses. The examples test the
// tour on etcd themselves.
var urls = map[string]string{
	"consul":    "consul://%s",
	"zookeeper": "zookeeper://%s",
	"postgres":  "postgres://" + harness.PostgresRole + "@%s/postgres?sslmode=disable",
}

func TestTour(t *testing.T) {
	for _, name := range harness.Names {
		if url, ok := urls[name]; ok {
			t.Run(name, func(t *testing.T) { run(t, url, start[name]) })
		}
	}
}

// start starts servers as they are by default.
var start = map[string]func() (*cluster.Cluster, error){
	"consul":    func() (*cluster.Cluster, error) { return cluster.StartConsul(cluster.ConsulConfig{}) },
	"zookeeper": func() (*cluster.Cluster, error) { return cluster.StartZooKeeper(cluster.ZooKeeperConfig{}) },
	"postgres":  harness.Stores["postgres"].Start,
}

// run takes the tour, which checks itself what it shows. The URL lacks the
// servers' addresses.
func run(t *testing.T, url string, start func() (*cluster.Cluster, error)) {
	c, err := start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	exe := filepath.Join(t.TempDir(), "tour")
	if out, err := exec.Command("go", "build", "-C", "../../examples", "-o", exe, "./tour").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	began := time.Now()
	addrs := c.Addrs()
	if strings.HasPrefix(url, "consul") {
		addrs = addrs[:1] // the agent
	}
	out, err := exec.CommandContext(ctx, exe, "-store", fmt.Sprintf(url, strings.Join(addrs, ","))).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Done in") {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("it took %v", time.Since(began).Round(100*time.Millisecond))
}
