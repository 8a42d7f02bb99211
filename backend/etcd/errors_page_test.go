package etcd

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/quorate/quorate/backend/driver"
)

// TestErrorsPage walks through the table of docs/errors.md.
func TestErrorsPage(t *testing.T) {
	d, _ := testDriver(t)
	sentinels := map[string]error{
		"ErrDenied": driver.ErrDenied, "ErrUnavailable": driver.ErrUnavailable, "ErrOverloaded": driver.ErrOverloaded,
		"ErrIndeterminate": driver.ErrIndeterminate, "ErrSessionLost": driver.ErrSessionLost,
		"ErrTooLarge": driver.ErrTooLarge, "ErrInvalid": driver.ErrInvalid,
	}
	page, err := os.ReadFile("../../docs/errors.md")
	if errors.Is(err, fs.ErrNotExist) {
		t.Log("this module was released without the pages")
		return
	}
	_, section, _ := strings.Cut(string(page), "\n## etcd\n")
	section, _, _ = strings.Cut(section, "\n## ")
	rows := 0
	for line := range strings.Lines(section) {
		cells := strings.Split(line, " | ")
		if len(cells) != 5 || !strings.HasPrefix(cells[0], "| `") {
			continue
		}
		rows++
		text := strings.Trim(cells[0], "| `")
		var code codes.Code
		if err := code.UnmarshalJSON([]byte(`"` + cells[1] + `"`)); err != nil {
			t.Fatal(err)
		}
		for f, name := range map[fate]string{maybeApplied: cells[2], asked: cells[3]} {
			got := d.classify(t.Context(), status.Error(code, text), f)
			want := sentinels[name]
			if want == nil || !errors.Is(got, want) || errors.Is(got, driver.ErrOverloaded) != errors.Is(want, driver.ErrOverloaded) {
				t.Errorf("%q with fate %d is %v, the page says %s", text, f, got, name)
			}
		}
	}
	if rows < 10 {
		t.Errorf("%d rows found", rows)
	}
}
