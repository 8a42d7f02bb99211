package ids

import (
	"testing"

	"github.com/quorate/quorate/internal/document"
)

// The document and the layout as they are stored: no version may change them
// without another format.
func TestGolden(t *testing.T) {
	got, err := document.Encode(format, reserve{Until: 1234567, Holder: "H"})
	if want := `{"format":1,"until_ms":1234567,"holder":"H"}`; err != nil || string(got) != want {
		t.Errorf("a node's document is %s, %v", got, err)
	}
	id := momentOf(1234567, 89).id(10)
	if id != 1234567<<22|10<<12|89 || id.Node() != 10 || !id.Time().Equal(Epoch.Add(1234567*1e6)) {
		t.Errorf("the ID is %d: node %d, %v", id, id.Node(), id.Time())
	}
	if last := momentOf(maxTime, maxCount).id(MaxNodes - 1); last != 1<<63-1 {
		t.Errorf("the last ID is %d", last)
	}
}
