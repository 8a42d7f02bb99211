// Command servers gets the servers that the tests start: it builds etcd and
// Consul into the user's cache directory and installs the Debian packages of
// ZooKeeper, PostgreSQL and PgBouncer, each only where it is missing. Run it again at will.
//
// QUORATE_CONSUL (a program), QUORATE_ZOOKEEPER_CLASSPATH (a Java class path),
// QUORATE_POSTGRES_BIN (a directory of programs) and QUORATE_PGBOUNCER (a
// program) name servers of your own to use instead.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/quorate/quorate/integration/cluster"
)

func main() {
	err := errors.Join(
		report("etcd", cluster.EtcdProgram),
		report("zookeeper", zooKeeper),
		report("postgresql", postgres),
		report("pgbouncer", pgBouncer),
		report("consul", cluster.ConsulProgram),
	)
	if err != nil {
		os.Exit(1)
	}
}

// report says what came of getting one server.
func report(name string, get func() (string, error)) error {
	began := time.Now()
	what, err := get()
	took := time.Since(began).Round(100 * time.Millisecond)
	if err != nil {
		fmt.Fprintf(os.Stderr, "%-10s failed after %v: %v\n", name, took, err)
		return err
	}
	fmt.Printf("%-10s ready after %v: %s\n", name, took, what)
	return nil
}

// zooKeeper returns the class path, and installs the package if there is none.
func zooKeeper() (string, error) { return installed("zookeeper", cluster.ZooKeeperClassPath) }

// postgres returns the directory of the programs, and installs the package if
// there is none. What it starts by itself is not needed, and does no harm.
func postgres() (string, error) { return installed("postgresql", cluster.PostgresBin) }

// pgBouncer returns the program, and installs the package if there is none.
func pgBouncer() (string, error) { return installed("pgbouncer", cluster.PgBouncerProgram) }

// installed finds what a package brings, and installs it if it is missing.
func installed(name string, find func() (string, error)) (string, error) {
	path, missing := find()
	if missing == nil {
		return path, nil
	}
	if os.Geteuid() != 0 {
		return "", fmt.Errorf("%w; as root: apt-get install %s", missing, name)
	}
	for _, args := range [][]string{
		{"apt-get", "-q", "update"},
		{"apt-get", "-q", "-y", "--no-install-recommends", "install", name},
	} {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("%w; running %q: %w\n%s", missing, args, err, out)
		}
	}
	return find()
}
