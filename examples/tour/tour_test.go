package main

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/quorate/quorate/examples/internal/etcdserver"
)

// program builds the tour once for all tests of this process.
func program(t *testing.T) string {
	t.Helper()
	exe := filepath.Join(t.TempDir(), "tour")
	if out, err := exec.Command("go", "build", "-o", exe, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return exe
}

func TestTour(t *testing.T) {
	exe := program(t)
	t.Run("to-the-end", func(t *testing.T) { toTheEnd(t, exe) })
	t.Run("given-store", func(t *testing.T) { givenStore(t, exe) })
	t.Run("interrupted", func(t *testing.T) { interrupted(t, exe) })
	t.Run("bad-arguments", func(t *testing.T) { badArguments(t, exe) })
}

func toTheEnd(t *testing.T, exe string) {
	start := time.Now()
	out, err := exec.Command(exe).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("it took %v", took)
	}
	rest := string(out)
	for _, want := range []string{
		`worker-\d +leads, term 2`,
		`begins with item 1: the checkpoint says that 0 are done`,
		`3 wait in line`,
		`each of the 4 sees the others`,
		`the 12 slots are shared out: (worker-\d( \d+){3}(, )?){4}\n`,
		`kill -9 worker-\d, which had just begun to add \d+`,
		`its process has ended: signal: killed`,
		`worker-\d +leads, term 3`,
		`begins with item \d+: the checkpoint says that \d+ are done`,
		`all others see worker-\d gone, after`,
		`the 12 slots are shared out: (worker-\d( \d+){4}(, )?){3}\n`,
		`worker-\d stands still`,
		`worker-\d +leads, term 4`,
		`its write under term 3 was refused: .*fenced`,
		`all others see worker-\d back, the same incarnation`,
		`the 12 slots are shared out: (worker-\d( \d+){4}(, )?){3}\n`,
		`worker-\d is asked to leave`,
		`worker-\d +leads, term 5`,
		`all others see worker-\d gone, after \d+ ms`,
		`worker-\d +started as process`,
		`all others see worker-\d back, a new incarnation`,
		`the 12 slots are shared out: (worker-\d( \d+){4}(, )?){3}\n`,
		`All leave(\n.*its process has ended: exit status 0|\n.*term 5 is over: draining.*){4}`,
		`store +term 2: items 1 to \d+`,
		`store +term 5: items \d+ to \d+`,
		`\d+ items, each once, .* never one of an earlier term`,
		`by the leaders' own reports, none began while`,
		`with the item after the last that was acknowledged`,
		`\d+ adds were acknowledged, \d+ in sum; the counter says \d+`,
		`the total is exact: each acknowledged add once, and`,
		`Done in`,
	} {
		at := regexp.MustCompile(want).FindStringIndex(rest)
		if at == nil {
			t.Fatalf("no %q in what follows\n%s", want, out)
		}
		rest = rest[at[1]:]
	}
}

// givenStore: on a store that others use too, nothing stays that does not go
// with a session.
func givenStore(t *testing.T, exe string) {
	server, err := etcdserver.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	if out, err := exec.Command(exe, "-store", server.URL).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	client, err := clientv3.New(clientv3.Config{
		Endpoints: []string{strings.TrimPrefix(server.URL, "etcd://")}, Logger: zap.NewNop(),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	reply, err := client.Get(t.Context(), "", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	if reply.Header.Revision < 40 {
		t.Errorf("revision %d: the tour was somewhere else", reply.Header.Revision)
	}
	for _, kv := range reply.Kvs {
		if kv.Lease == 0 {
			t.Errorf("%s is left for good", kv.Key)
		}
	}
}

// interrupted: Ctrl-C at the moment that is hardest, with a worker stopped.
func interrupted(t *testing.T, exe string) {
	tmp := t.TempDir()
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pids []int
	started := regexp.MustCompile(`started as process (\d+)`)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if m := started.FindStringSubmatch(lines.Text()); m != nil {
			pid, _ := strconv.Atoi(m[1])
			pids = append(pids, pid)
		}
		if strings.Contains(lines.Text(), "stands still") {
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil {
		t.Error("an interrupted tour ended with 0")
	}
	if len(pids) != 4 {
		t.Fatalf("workers %v\n%s", pids, stderr.String())
	}
	for _, pid := range pids {
		if syscall.Kill(pid, 0) == nil {
			t.Errorf("process %d is left", pid)
		}
	}
	if left, _ := os.ReadDir(tmp); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
}

func badArguments(t *testing.T, exe string) {
	for _, c := range []struct{ args, want string }{
		{"-store nonsense", "has no scheme"}, // never the URL, which may have a password
		{"-store etcd://", "host of the etcd URL"},
		{"-ttl 1ms", "Options.TTL"},
		{"more", "more"},
	} {
		out, err := exec.Command(exe, strings.Fields(c.args)...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), c.want) {
			t.Errorf("tour %s: %v, want an error that names %q\n%s", c.args, err, c.want, out)
		}
	}
	if out, err := exec.Command(exe, "-h").CombinedOutput(); err != nil || !strings.Contains(string(out), "-store") {
		t.Errorf("tour -h: %v\n%s", err, out)
	}
}
