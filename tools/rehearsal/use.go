package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// loadEnv sets the environment for the go command: packed modules first, then
// the user's module cache, which is laid out as a proxy, then the user's own
// proxies.
func (s *stage) loadEnv() error {
	out, err := exec.Command("go", "env", "GOMODCACHE", "GOPROXY", "GONOSUMDB").Output()
	if err != nil {
		return fmt.Errorf("go env: %w", err)
	}
	lines := strings.Split(string(out), "\n")
	modcache, proxy, nosumdb := lines[0], lines[1], lines[2]
	nosumdb = strings.TrimPrefix(nosumdb+","+root, ",")
	s.env = []string{
		"GOWORK=off",
		// The go command indexes a version once per place and for ever. Ours
		// changes from one rehearsal to the next.
		"GODEBUG=" + strings.TrimPrefix(os.Getenv("GODEBUG")+",goindex=0", ","),
		"GOFLAGS=-modcacherw",
		"GOMODCACHE=" + filepath.Join(s.dir, "mod"),
		"GONOSUMDB=" + nosumdb,
		"GOPROXY=file://" + filepath.ToSlash(filepath.Join(s.dir, "proxy")) +
			",file://" + filepath.ToSlash(filepath.Join(modcache, "cache", "download")) + "," + proxy,
	}
	return nil
}

// printEnv prints the environment as assignments on one line.
func (s *stage) printEnv(w io.Writer) { fmt.Fprintln(w, strings.Join(s.env, " ")) }

// run runs a command in dir and returns its standard output.
func (s *stage) run(dir string, args ...string) (stdout string, err error) {
	fmt.Println("  $", strings.Join(args, " "))
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), s.env...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s%s", strings.Join(args, " "), err, &out, &errs)
	}
	return out.String(), nil
}

// all runs commands one after the other until one fails.
func (s *stage) all(dir string, commands ...[]string) error {
	for _, args := range commands {
		if _, err := s.run(dir, args...); err != nil {
			return err
		}
	}
	return nil
}

// use does with the packed modules what newcomers would do with released
// ones. Every step runs, whatever became of those before it.
func (s *stage) use(tour bool) error {
	type step struct {
		name string
		do   func(dir string) error
	}
	steps := []step{
		{"go get the root in an empty module: its graph stays light", s.light},
		{"go get the etcd adapter in an empty module, and build the program in the README", s.readme},
		{"go vet the root and the examples at the versions that they require", s.vet},
		{"what integration tests with is the same in the workspace and outside it", s.versions},
	}
	if tour {
		steps = append(steps, step{"go run the tour by version", s.tour})
	}
	var errs []error
	for _, step := range steps {
		fmt.Println("#", step.name)
		dir, err := os.MkdirTemp("", "quorate-rehearsal-")
		if err != nil {
			return err
		}
		err = step.do(dir)
		if err != nil {
			fmt.Println("FAIL", step.name)
			err = fmt.Errorf("%s: %w", step.name, err)
		} else {
			fmt.Println("ok  ", step.name)
		}
		errs = append(errs, err, os.RemoveAll(dir))
	}
	return errors.Join(errs...)
}

// heavy matches modules that an importer of the root must not get to see.
var heavy = regexp.MustCompile(`^(google\.golang\.org/grpc|go\.etcd\.io/|github\.com/hashicorp/|github\.com/go-zookeeper/|github\.com/jackc/|github\.com/quorate/quorate/)`)

// vet compiles, tests included, the modules whose own tests find nothing in lower
// versions of other modules that the workspace's versions do not.
func (s *stage) vet(string) error {
	for _, dir := range []string{".", "examples"} {
		if _, err := s.run(s.source(dir), "go", "vet", "-trimpath", "./..."); err != nil {
			return err
		}
	}
	return nil
}

func (s *stage) light(dir string) error {
	const program = `package main

import (
	"context"
	"fmt"
	"time"

	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/election"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	store, err := memory.New(nil)
	if err != nil {
		panic(err)
	}
	defer store.Close()
	e, err := election.New(store, "light", nil)
	if err != nil {
		panic(err)
	}
	err = e.Run(ctx, func(_ context.Context, lead *election.Leadership) error {
		fmt.Println("leading, term", lead.Term())
		return nil
	})
	if err != nil {
		panic(err)
	}
}
`
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(program), 0o666); err != nil {
		return err
	}
	if err := s.all(dir,
		[]string{"go", "mod", "init", "example.com/light"},
		[]string{"go", "mod", "edit", "-go=1.25.0"},
		[]string{"go", "get", root + "@" + version},
		[]string{"go", "mod", "tidy"},
	); err != nil {
		return err
	}
	if out, err := s.run(dir, "go", "run", "."); err != nil {
		return err
	} else if !strings.HasPrefix(out, "leading, term ") {
		return fmt.Errorf("the program printed %q", out)
	}
	line, err := s.run(dir, "go", "list", "-m", "-f", "{{.GoVersion}}")
	if err != nil {
		return err
	}
	if line = strings.TrimSpace(line); line != "1.25.0" {
		return fmt.Errorf("the importer's go line was raised from 1.25.0 to %s", line)
	}
	graph, err := s.run(dir, "go", "list", "-m", "all")
	if err != nil {
		return err
	}
	fmt.Print(indent(graph))
	if !strings.Contains(graph, root+" "+version) {
		return errors.New("the root module is not in the graph")
	}
	for module := range strings.Lines(graph) {
		if heavy.MatchString(module) {
			return fmt.Errorf("the graph has %s", module)
		}
	}
	return nil
}

func (s *stage) readme(dir string) error {
	text, err := os.ReadFile(filepath.Join(s.top, "README.md"))
	if err != nil {
		return err
	}
	program, err := goBlock(string(text))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(program), 0o666); err != nil {
		return err
	}
	return s.all(dir,
		[]string{"go", "mod", "init", "example.com/readme"},
		[]string{"go", "get", root + "@" + version},
		[]string{"go", "get", root + "/backend/etcd@" + version},
		[]string{"go", "mod", "tidy"},
		[]string{"go", "build", "-trimpath", "-o", os.DevNull, "."},
		[]string{"go", "vet", "-trimpath", "."},
	)
}

// goBlock returns the first block of Go in a page of Markdown.
func goBlock(page string) (string, error) {
	_, rest, ok := strings.Cut(page, "\n```go\n")
	block, _, end := strings.Cut(rest, "\n```\n")
	if !ok || !end {
		return "", errors.New("the README has no block of Go")
	}
	return block + "\n", nil
}

func (s *stage) tour(dir string) error {
	usage, err := s.run(dir, "go", "run", root+"/examples/tour@"+version, "-h")
	if err != nil {
		return err
	}
	if !strings.Contains(usage, "-store") {
		return fmt.Errorf("tour -h does not explain -store:\n%s", usage)
	}
	return nil
}

// versions compares the modules that integration's packages and tests are
// linked with in the workspace with those outside it. As long as they are the
// same there is no need to run its tests twice.
func (s *stage) versions(string) error {
	list := []string{"go", "list", "-deps", "-test", "-f", "{{with .Module}}{{if .Version}}{{.Path}} {{.Version}}{{end}}{{end}}", "./..."}
	outside, err := s.run(s.source("integration"), list...)
	if err != nil {
		return err
	}
	inside, err := exec.Command(list[0], slices.Insert(list[1:], 1, "-C", filepath.Join(s.top, "integration"))...).Output()
	if err != nil {
		return fmt.Errorf("go list in the workspace: %w", err)
	}
	a, b := external(outside), external(string(inside))
	if len(a) == 0 || !slices.Equal(a, b) {
		return fmt.Errorf("outside:\n%sin the workspace:\n%s", indent(strings.Join(a, "\n")), indent(strings.Join(b, "\n")))
	}
	return nil
}

// external sorts lines of module and version and drops this repository's.
func external(lines string) []string {
	var kept []string
	for line := range strings.FieldsFuncSeq(lines, func(r rune) bool { return r == '\n' }) {
		if !strings.HasPrefix(line, root+" ") && !strings.HasPrefix(line, root+"/") {
			kept = append(kept, line)
		}
	}
	slices.Sort(kept)
	return slices.Compact(kept)
}

func indent(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n    ") + "\n"
}
