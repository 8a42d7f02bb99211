package consul

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"

	"github.com/quorate/quorate/backend/driver"
)

// TestErrorsPage walks through the table of docs/errors.md.
func TestErrorsPage(t *testing.T) {
	sentinels := map[string]error{
		"ErrDenied": driver.ErrDenied, "ErrUnknownCredential": driver.ErrUnknownCredential,
		"ErrUnavailable": driver.ErrUnavailable, "ErrOverloaded": driver.ErrOverloaded,
		"ErrIndeterminate": driver.ErrIndeterminate, "ErrSessionLost": driver.ErrSessionLost,
		"ErrTooLarge": driver.ErrTooLarge, "ErrInvalid": driver.ErrInvalid,
	}
	page, err := os.ReadFile("../../docs/errors.md")
	if errors.Is(err, fs.ErrNotExist) {
		t.Log("this module was released without the pages")
		return
	}
	_, section, _ := strings.Cut(string(page), "\n## Consul\n")
	section, _, _ = strings.Cut(section, "\n## ")
	rows := 0
	for line := range strings.Lines(section) {
		cells := strings.Split(line, " | ")
		if len(cells) != 4 || !strings.HasPrefix(cells[0], "| `") {
			continue
		}
		rows++
		code, err := strconv.Atoi(cells[1])
		if err != nil {
			t.Fatal(err)
		}
		refusal := api.StatusError{Code: code, Body: strings.Trim(cells[0], "| `")}
		if code == 409 { // in the reply to a transaction
			body, err := json.Marshal(api.TxnResponse{Errors: api.TxnErrors{{What: refusal.Body}}})
			if err != nil {
				t.Fatal(err)
			}
			refusal.Body = string(body)
		}
		got, want := classify(refusal, true, false), sentinels[cells[2]]
		if want == nil || !errors.Is(got, want) {
			t.Errorf("%v is %v, the page says %s", refusal, got, cells[2])
		}
		for _, kind := range []error{driver.ErrOverloaded, driver.ErrUnknownCredential} {
			if errors.Is(got, kind) != errors.Is(want, kind) {
				t.Errorf("%v is %v, the page says %s", refusal, got, cells[2])
			}
		}
	}
	if rows < 10 {
		t.Errorf("%d rows found", rows)
	}
}
