package quota

import (
	"testing"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/internal/removable"
)

// The document as it is stored: no version may change it without another format.
func TestGoldenDocument(t *testing.T) {
	const text = `{"format":1,"start_ms":1796083200000,"used":17}`
	s := state{Start: 1796083200000, Used: 17}
	if got := string(encode(s)); got != text {
		t.Errorf("a quota is %s", got)
	}
	look := removable.Look{Key: "k", Entry: backend.Entry{Value: []byte(text)}, Found: true}
	if got, err := stateOf(look); err != nil || got != s {
		t.Errorf("a quota is read as %+v, %v", got, err)
	}
}
