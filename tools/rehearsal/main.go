// Rehearsal rehearses a release: it packs every module of the tree at one
// version into a module proxy in a local directory, as a tag would publish
// them, and then is the first to use them.
//
// It packs the files that git tracks, as they stand in the working tree. What
// it makes lies in .cache/rehearsal: proxy (what GOPROXY serves), src (each
// module's sources unpacked, apart from each other, to test them outside the
// workspace), mod (a module cache of its own, so that the user's never meets
// an unpublished version).
//
// Run it at the top of the tree. Flags choose the steps; see main.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

const (
	version = "v0.1.0"
	root    = "github.com/quorate/quorate"
	cache   = ".cache/rehearsal"
)

// modules are the directories of the modules that are released together.
// integration is nobody's dependency, but its tests must work from a release
// as well.
var modules = []string{".", "backend/etcd", "backend/consul", "backend/zookeeper", "backend/postgres", "bridge/otelquorate", "bridge/promquorate", "route/grpcroute", "open", "examples", "integration"}

func main() {
	pack := flag.Bool("pack", false, "pack the modules into "+cache)
	env := flag.Bool("env", false, "print the environment in which the go command uses the packed modules, and nothing else")
	use := flag.Bool("use", false, "use the packed modules as newcomers would")
	tour := flag.Bool("tour", false, "with -use, also run the tour by version, which builds a server")
	tidy := flag.Bool("tidy", false, "tidy go.mod and go.sum of every module in the tree")
	flag.Parse()
	if err := run(*pack, *env, *use, *tour, *tidy); err != nil {
		fmt.Fprintln(os.Stderr, "rehearsal:", err)
		os.Exit(1)
	}
}

func run(pack, env, use, tour, tidy bool) error {
	top, err := filepath.Abs(".")
	if err != nil {
		return err
	}
	if _, err := os.Stat("go.work"); err != nil {
		return fmt.Errorf("not at the top of the tree: %w", err)
	}
	s := &stage{top: top, dir: filepath.Join(top, cache)}
	if pack {
		if err := s.pack(modules); err != nil {
			return err
		}
	}
	if err := s.loadEnv(); err != nil {
		return err
	}
	if env {
		s.printEnv(os.Stdout)
	}
	if tidy {
		if err := s.tidy(modules); err != nil {
			return err
		}
	}
	if use {
		return s.use(tour)
	}
	return nil
}
