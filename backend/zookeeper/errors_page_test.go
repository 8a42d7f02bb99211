package zookeeper

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/go-zookeeper/zk"

	"github.com/quorate/quorate/backend/driver"
)

// TestErrorsPage walks through the table of docs/errors.md.
func TestErrorsPage(t *testing.T) {
	sentinels := map[string]error{
		"ErrDenied": driver.ErrDenied, "ErrUnavailable": driver.ErrUnavailable, "ErrOverloaded": driver.ErrOverloaded,
		"ErrIndeterminate": driver.ErrIndeterminate, "ErrInvalid": driver.ErrInvalid,
	}
	page, err := os.ReadFile("../../docs/errors.md")
	if errors.Is(err, fs.ErrNotExist) {
		t.Log("this module was released without the pages")
		return
	}
	_, section, _ := strings.Cut(string(page), "\n## ZooKeeper\n")
	answers := []error{
		zk.ErrNoAuth, zk.ErrAuthFailed, zk.ErrSessionExpired, zk.ErrSessionMoved, zk.ErrConnectionClosed,
		zk.ErrInvalidACL, errors.New(throttled), codeError(codeAuthRequired),
	}
	rows := 0
	for line := range strings.Lines(section) {
		cells := strings.Split(line, " | ")
		if len(cells) != 4 || !strings.HasPrefix(cells[0], "| `") {
			continue
		}
		text := strings.Trim(cells[0], "| `")
		for _, answer := range answers {
			if answer.Error() != text {
				continue
			}
			rows++
			for maybe, name := range map[bool]string{true: cells[1], false: cells[2]} {
				got, want := classify(answer, maybe), sentinels[name]
				if want == nil || !errors.Is(got, want) || errors.Is(got, driver.ErrOverloaded) != errors.Is(want, driver.ErrOverloaded) {
					t.Errorf("%v is %v, the page says %s", answer, got, name)
				}
			}
		}
	}
	if rows != len(answers) {
		t.Errorf("%d of %d answers are on the page", rows, len(answers))
	}
}
