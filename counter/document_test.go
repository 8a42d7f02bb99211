package counter

import (
	"reflect"
	"testing"

	"github.com/quorate/quorate/backend"
)

// What stands in the store: no version may change it without another format.
// The shards of a Tally are like a Counter's document.
func TestGoldenDocuments(t *testing.T) {
	doc := counterDocument{Value: -7, Dropped: 2, Recent: []entry{{"W", 5, -7}, {"V", 1, 3}}}
	const text = `{"format":1,"value":-7,"dropped":2,"recent":[{"writer":"W","seq":5,"result":-7},{"writer":"V","seq":1,"result":3}]}`
	if got := string(encode(doc)); got != text {
		t.Errorf("a counter is %s", got)
	}
	if read, err := baseOf(backend.Entry{Key: "k", Value: []byte(text)}, true); err != nil || !reflect.DeepEqual(read.counterDocument, doc) {
		t.Errorf("a counter is read as %+v, %v", read, err)
	}
	const reserved = `{"format":1,"reserved":1000}`
	if got := string(encode(sequenceDocument{Reserved: 1000})); got != reserved {
		t.Errorf("a sequence is %s", got)
	}
	var sequence sequenceDocument
	if err := decode(backend.Entry{Value: []byte(reserved)}, &sequence); err != nil || sequence.Reserved != 1000 {
		t.Errorf("a sequence is read as %+v, %v", sequence, err)
	}
}
