package pages_test

import (
	"bufio"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/quorate/quorate/integration/cluster"
)

// recipe is what README.md says to do for one store: commands, a file to write,
// and commands that start it.
type recipe struct{ prepare, program, start string }

// recipesOf returns the recipes of a page. The first begins with commands that
// make a module. Each difference behind it gives a further one.
func recipesOf(page string) (recipes []recipe, err error) {
	var r recipe
	for _, b := range fencesOf(page) {
		switch {
		case b.language == "sh" && strings.Contains(b.text, "go mod init "):
			r = recipe{prepare: b.text}
		case r.prepare != "" && r.program == "" && b.language == "go":
			r.program = b.text
		case r.program != "" && r.start == "" && b.language == "sh":
			r.start = b.text
			recipes = append(recipes, r)
		case b.language == "diff" && len(recipes) > 0:
			other, err := recipes[0].changed(b.text)
			if err != nil {
				return nil, err
			}
			recipes = append(recipes, other)
		}
	}
	return recipes, nil
}

// adapter is the call that makes a Store.
var adapter = regexp.MustCompile(`must\((\w+)\.(?:New|Open)\(.*, nil\)\)`)

// changed returns the recipe with a difference applied: the lines that it takes
// away are in the program together, and those that it adds come in their place.
// The imports follow from what the program uses, as an editor writes them.
func (r recipe) changed(difference string) (recipe, error) {
	var from, to strings.Builder
	for line := range strings.Lines(difference) {
		switch line[0] {
		case '-':
			from.WriteString(line[1:])
		case '+':
			to.WriteString(line[1:])
		default:
			return recipe{}, fmt.Errorf("the line %q of a difference", line)
		}
	}
	if strings.Count(r.program, from.String()) != 1 {
		return recipe{}, fmt.Errorf("the program does not have, once,\n%s", from.String())
	}
	m := adapter.FindStringSubmatch(to.String())
	if m == nil {
		return recipe{}, fmt.Errorf("no Store is made in\n%s", to.String())
	}
	program, err := imported(strings.Replace(r.program, from.String(), to.String(), 1))
	return recipe{
		prepare: strings.Replace(r.prepare, "backend/etcd", "backend/"+m[1], 1),
		program: program,
		start:   r.start,
	}, err
}

// imported returns a program with the imports that it needs.
func imported(program string) (string, error) {
	head, rest, begun := strings.Cut(program, "import (\n")
	_, body, ended := strings.Cut(rest, "\n)\n")
	if !begun || !ended {
		return "", errors.New("the program has no imports")
	}
	file, err := parser.ParseFile(token.NewFileSet(), "", head+body, 0)
	if err != nil {
		return "", err
	}
	used := map[string]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok && x.Obj == nil && names[x.Name] != "" {
				used[x.Name] = true
			}
		}
		return true
	})
	var out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(used)) {
		fmt.Fprintf(&out, "\t%s %q\n", name, names[name])
	}
	return head + "import (\n" + out.String() + ")\n" + body, nil
}

// fence is a block of a page of Markdown.
type fence struct{ language, text string }

func fencesOf(page string) (fences []fence) {
	for rest := page; ; {
		_, after, open := strings.Cut(rest, "\n```")
		language, after, begun := strings.Cut(after, "\n")
		text, after, closed := strings.Cut("\n"+after, "\n```\n")
		if !open || !begun || !closed {
			return fences
		}
		fences = append(fences, fence{language, strings.TrimPrefix(text, "\n") + "\n"})
		rest = "\n" + after
	}
}

// TestReadmeToTheLetter follows README.md in an empty directory, for each store,
// with the modules as the release rehearsal serves them: the program leads;
// started twice, one does; when that one is ended, the other does. The one thing
// that it changes is the address of the server.
func TestReadmeToTheLetter(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(top, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	recipes, err := recipesOf(string(text))
	if err != nil || len(recipes) != 3 {
		t.Fatalf("README.md has %d recipes, want one for each store (%v)", len(recipes), err)
	}
	env := rehearsed(t)
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
			var r recipe
			for _, other := range recipes {
				if strings.Contains(other.program, own("backend/"+store)) {
					r = other
				}
			}
			if !strings.Contains(r.program, c.address) {
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
			reader := &newcomer{t: t, dir: t.TempDir(), env: append(env, "CONSUL_HTTP_ADDR="+address)} // which its program reads
			if out, err := reader.shell(r.prepare).CombinedOutput(); err != nil {
				t.Fatalf("%s%v\n%s", r.prepare, err, out)
			}
			program := strings.ReplaceAll(r.program, c.address, address)
			if err := os.WriteFile(filepath.Join(reader.dir, "main.go"), []byte(program), 0o600); err != nil {
				t.Fatal(err)
			}
			first := reader.run(r.start)
			first.leads()
			second := reader.run(r.start)
			first.ends()
			second.leads()
			second.ends()
		})
	}
}

// TestRecipesOf tests the test.
func TestRecipesOf(t *testing.T) {
	const page = "# A\n```sh\nls\n```\n```sh\ngo mod init x\ngo get y/backend/etcd\n```\nb\n```go\npackage main\n\nimport (\n\t\"os\"\n)\n\n" +
		"func main() {\n\ta := must(etcd.New(os.Args, nil))\n}\n```\n\n```sh\ngo run .\n```\n" +
		"```diff\n-\ta := must(etcd.New(os.Args, nil))\n+\ta := must(consul.New(nil, nil))\n```\n```go\nc\n```\n"
	want := []recipe{
		{"go mod init x\ngo get y/backend/etcd\n", "package main\n\nimport (\n\t\"os\"\n)\n\nfunc main() {\n\ta := must(etcd.New(os.Args, nil))\n}\n", "go run .\n"},
		{"go mod init x\ngo get y/backend/consul\n", "package main\n\nimport (\n\tconsul \"" + own("backend/consul") + "\"\n)\n\nfunc main() {\n\ta := must(consul.New(nil, nil))\n}\n", "go run .\n"},
	}
	if got, err := recipesOf(page); err != nil || !slices.Equal(got, want) {
		t.Errorf("recipesOf = %+q, %v, want %+q", got, err, want)
	}
	for _, bad := range []string{"-no such line\n+a := must(consul.New(nil, nil))\n", " x\n", "-\ta := must(etcd.New(os.Args, nil))\n+x\n"} {
		if got, err := want[0].changed(bad); err == nil {
			t.Errorf("%q gave %+q, want an error", bad, got)
		}
	}
}

// rehearsed returns the environment in which the go command finds the modules
// as a release would publish them, packed by tools/rehearsal.
func rehearsed(t *testing.T) (env []string) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(top, ".cache", "rehearsal", "proxy")); err != nil {
		t.Fatalf("the modules are not packed, as make test does first; by hand: make bin/rehearsal && bin/rehearsal -pack (%v)", err)
	}
	exe := filepath.Join(t.TempDir(), "rehearsal")
	build := exec.CommandContext(t.Context(), "go", "build", "-C", filepath.Join(top, "tools"), "-o", exe, "./rehearsal")
	build.Env = append(os.Environ(), "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	say := exec.CommandContext(t.Context(), exe, "-env")
	say.Dir = top
	out, err := say.Output()
	if err != nil {
		t.Fatalf("rehearsal -env: %v", err)
	}
	return append(os.Environ(), strings.Fields(string(out))...)
}

// newcomer is somebody who has an empty directory and README.md.
type newcomer struct {
	t   *testing.T
	dir string
	env []string
}

// shell is to run commands, the last in place of the shell itself.
func (n *newcomer) shell(commands string) *exec.Cmd {
	commands = strings.TrimSuffix(commands, "\n")
	last := strings.LastIndexByte(commands, '\n') + 1
	commands = commands[:last] + "exec " + commands[last:]
	cmd := exec.Command("sh", "-ec", commands)
	cmd.Dir, cmd.Env = n.dir, n.env
	// A group of its own, which gets signals as one at a terminal does.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// process is a program that runs, and what it has logged.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines chan string
}

func (n *newcomer) run(commands string) *process {
	n.t.Helper()
	p := &process{n.t, n.shell(commands), make(chan string, 1000)}
	log, err := p.cmd.StderrPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { p.signal(syscall.SIGKILL) })
	go func() {
		defer close(p.lines)
		for scan := bufio.NewScanner(log); scan.Scan(); {
			p.lines <- scan.Text()
		}
	}()
	return p
}

// signal sends a signal to the process and those that it has started.
func (p *process) signal(s syscall.Signal) { _ = syscall.Kill(-p.cmd.Process.Pid, s) }

// leads waits until the process says that it leads. It may have to be built.
func (p *process) leads() {
	p.t.Helper()
	var heard []string
	for deadline := time.After(10 * time.Minute); ; {
		select {
		case line, more := <-p.lines:
			if heard = append(heard, line); !more {
				p.t.Fatalf("it ended: %q", heard)
			}
			var term int
			if _, said, ok := strings.Cut(line, "leading, "); ok {
				if _, err := fmt.Sscanf(said, "term %d", &term); err != nil || term < 1 {
					p.t.Errorf("%q: %v", line, err)
				}
				return
			}
		case <-deadline:
			p.t.Fatalf("it does not lead: %q", heard)
		}
	}
}

// ends tells the process to end, as Ctrl-C does, and the program says that it
// ends cleanly. (What go run ends with is its own: 1, since it was interrupted.)
func (p *process) ends() {
	p.t.Helper()
	p.signal(syscall.SIGINT)
	timer := time.AfterFunc(time.Minute, func() { p.signal(syscall.SIGKILL) })
	defer timer.Stop()
	var heard []string
	for line := range p.lines { // to the end, before Wait closes the pipe
		heard = append(heard, line)
	}
	_ = p.cmd.Wait()
	clean := func(line string) bool { return strings.Contains(line, " exit code=0 ") }
	if !slices.ContainsFunc(heard, clean) {
		p.t.Errorf("it did not end cleanly: %q", heard)
	}
}
