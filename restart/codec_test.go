package restart

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/quorate/quorate/internal/document"
)

// What stands in the store: no version may change it without another format.
func TestGoldenDocuments(t *testing.T) {
	for text, doc := range map[string]progress{
		`{"format":1,"token":"T","seq":0}`:                          {Token: "T"},
		`{"format":1,"token":"T","seq":7,"value":{"next":3}}`:       {Token: "T", Seq: 7, Value: json.RawMessage(`{"next":3}`)},
		`{"format":1,"token":"T","seq":8,"value":"AAEC/w=="}`:       {Token: "T", Seq: 8, Value: json.RawMessage(`"AAEC/w=="`)},
		`{"format":1,"token":"T","seq":9,"value":"\u003c\u0026\""}`: {Token: "T", Seq: 9, Value: json.RawMessage(`"\u003c\u0026\""`)},
	} {
		if got, err := encodeProgress(doc); err != nil || string(got) != text {
			t.Errorf("%+v is stored as %s, %v", doc, got, err)
		}
		var read progress
		if err := document.Decode([]byte(text), checkpointFormat, &read); err != nil || !reflect.DeepEqual(read, doc) {
			t.Errorf("%s is read as %+v, %v", text, read, err)
		}
	}
	bytes := CheckpointOptions[[]byte]{
		Encode: func(b []byte) ([]byte, error) { return b, nil },
		Decode: func(b []byte) ([]byte, error) { return b, nil },
	}
	if raw, err := bytes.encode([]byte{0, 1, 2, 255}); err != nil || string(raw) != `"AAEC/w=="` {
		t.Errorf("bytes are stored as %s, %v", raw, err)
	}
}
