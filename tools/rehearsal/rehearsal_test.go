package main

import (
	"archive/zip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestPack(t *testing.T) {
	top, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{top: top, dir: t.TempDir()}
	if err := s.pack(modules); err != nil {
		t.Fatal(err)
	}
	for _, dir := range modules {
		mod := modulePath(dir)
		at := filepath.Join(s.dir, "proxy", filepath.FromSlash(mod), "@v")
		archive, err := zip.OpenReader(filepath.Join(at, version+".zip"))
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, f := range archive.File {
			name, ok := strings.CutPrefix(f.Name, mod+"@"+version+"/")
			if !ok {
				t.Errorf("%s: %s is not below the module's prefix", mod, f.Name)
			}
			names = append(names, name)
		}
		if err := archive.Close(); err != nil {
			t.Error(err)
		}
		for _, want := range []string{"go.mod", "LICENSE"} {
			if !slices.Contains(names, want) {
				t.Errorf("%s: the archive lacks %s", mod, want)
			}
		}
		for _, name := range names {
			for _, other := range append(modules, "tools") {
				nested := other != dir && (dir == "." || strings.HasPrefix(other, dir+"/"))
				if inside := strings.TrimPrefix(strings.TrimPrefix(other, dir), "/"); nested && strings.HasPrefix(name, inside+"/") {
					t.Errorf("%s: the archive has %s of the module in %s", mod, name, other)
				}
			}
		}
		if got, err := os.ReadFile(filepath.Join(at, version+".mod")); err != nil || !strings.HasPrefix(string(got), "module "+mod+"\n") {
			t.Errorf("%s: served go.mod is %.40q, %v", mod, got, err)
		}
		sums, err := os.ReadFile(filepath.Join(s.source(dir), "go.sum"))
		if err != nil {
			t.Fatal(err)
		}
		for _, other := range modules {
			for _, want := range []string{modulePath(other) + " " + version + " h1:", modulePath(other) + " " + version + "/go.mod h1:"} {
				if !strings.Contains("\n"+string(sums), "\n"+want) {
					t.Errorf("%s: go.sum lacks %s", mod, want)
				}
			}
		}
		if kept := string(withoutOwn(sums)); strings.Contains(kept, root) {
			t.Errorf("%s: withoutOwn left sums of this repository:\n%s", mod, kept)
		}
	}
}

func TestHeavy(t *testing.T) {
	for line, want := range map[string]bool{
		"google.golang.org/grpc v1.83.2":                true,
		"go.etcd.io/etcd/client/v3 v3.7.3":              true,
		"github.com/hashicorp/consul/api v1.34.5":       true,
		"github.com/go-zookeeper/zk v1.0.4":             true,
		"github.com/jackc/pgx/v5 v5.12.0":               true,
		"github.com/quorate/quorate/backend/etcd v0":    true,
		"github.com/quorate/quorate v0.1.0":             false,
		"github.com/cenkalti/backoff/v4 v4.3.0":         false,
		"example.com/google.golang.org/grpc-is-no-more": false,
	} {
		if got := heavy.MatchString(line); got != want {
			t.Errorf("heavy(%q) = %v, want %v", line, got, want)
		}
	}
}

func TestGoBlock(t *testing.T) {
	got, err := goBlock("text\n```sh\nls\n```\n```go\npackage main\n```\nmore\n```go\nno\n```\n")
	if err != nil || got != "package main\n" {
		t.Errorf("goBlock = %q, %v", got, err)
	}
	for _, bad := range []string{"", "```go\n", "text\n```sh\nls\n```\n"} {
		if got, err := goBlock(bad); err == nil {
			t.Errorf("goBlock(%q) = %q, want an error", bad, got)
		}
	}
}
