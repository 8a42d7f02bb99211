package pages_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// testName is a test, with a subtest or without.
var testName = regexp.MustCompile("`(Test[A-Za-z]+)(?:/([^`]+))?`")

// TestSettings: each row on the servers' settings names a test that exists, or says
// that the setting is not supported; and each subtest of the settings has its row.
func TestSettings(t *testing.T) {
	files, err := exec.Command("git", "-C", top, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*_test.go").Output()
	if err != nil {
		t.Fatal(err)
	}
	sources := make(map[string]string) // of each test: the file that has it
	for file := range strings.SplitSeq(strings.Trim(string(files), "\x00"), "\x00") {
		text, err := os.ReadFile(filepath.Join(top, file))
		if err != nil {
			continue // deleted, and not yet committed
		}
		for _, m := range regexp.MustCompile(`(?m)^func (Test[A-Za-z]+)\(`).FindAllStringSubmatch(string(text), -1) {
			sources[m[1]] += string(text)
		}
	}
	rows := 0
	documented := make(map[string]bool)
	for _, store := range []string{"etcd", "Consul", "ZooKeeper", "PostgreSQL"} {
		for _, row := range table(t, "Setting or work of "+store, "Result", "Test") {
			rows++
			named := testName.FindAllStringSubmatch(row[2], -1)
			if len(named) == 0 && !strings.HasPrefix(row[1], "not supported: ") {
				t.Errorf("%s: %q names no test and is not said to be unsupported", store, row[0])
			}
			for _, m := range named {
				source, ok := sources[m[1]]
				switch {
				case !ok:
					t.Errorf("%s: %q names %s, which does not exist", store, row[0], m[1])
				case m[2] != "" && !strings.Contains(source, `"`+m[2]+`"`):
					t.Errorf("%s: %q names %s/%s, which does not exist", store, row[0], m[1], m[2])
				}
				documented[m[1]+"/"+m[2]] = true
			}
		}
	}
	if rows < 60 {
		t.Errorf("the page has %d settings, want 60 at least", rows)
	}
	for name, source := range sources {
		if !strings.HasSuffix(name, "Settings") || name == "TestSettings" {
			continue
		}
		for _, m := range regexp.MustCompile(`(?m)^\t\t"([^"]+)": +[a-zA-Z]+,$`).FindAllStringSubmatch(source, -1) {
			if !documented[name+"/"+m[1]] {
				t.Errorf("%s/%s has no row", name, m[1])
			}
		}
	}
}
