package counter

import (
	"reflect"
	"testing"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/internal/removable"
)

func lookAt(text string) removable.Look {
	return removable.Look{Key: "k", Entry: backend.Entry{Key: "k", Value: []byte(text)}, Found: true}
}

// The documents as they are stored: no version may change them without another
// format.
// The shards of a Tally are like a Counter's document.
func TestGoldenDocuments(t *testing.T) {
	doc := counterDocument{Value: -7, Dropped: 2, Recent: []entry{{Writer: "W", Seq: 5, Result: -7}, {Writer: "V", Seq: 1, Result: 3}}}
	const text = `{"format":1,"value":-7,"dropped":2,"recent":[{"writer":"W","seq":5,"result":-7},{"writer":"V","seq":1,"result":3}]}`
	if got := string(encode(&doc)); got != text {
		t.Errorf("a counter is %s", got)
	}
	if read, err := baseOf(lookAt(text)); err != nil || !reflect.DeepEqual(read.counterDocument, doc) {
		t.Errorf("a counter is read as %+v, %v", read, err)
	}
	doc.Turn, doc.Recent[1].Again = turn{Pace: 2500, Left: 3, Open: true}, true
	const turned = `{"format":1,"value":-7,"dropped":2,"turn":{"pace":2500,"left":3,"open":true},"recent":[{"writer":"W","seq":5,"result":-7},{"writer":"V","seq":1,"result":3,"again":true}]}`
	if got := string(encode(&doc)); got != turned {
		t.Errorf("a counter with turns is %s", got)
	}
	if read, err := baseOf(lookAt(turned)); err != nil || !reflect.DeepEqual(read.counterDocument, doc) {
		t.Errorf("a counter with turns is read as %+v, %v", read, err)
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
