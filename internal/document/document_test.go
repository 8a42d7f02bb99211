package document_test

import (
	"errors"
	"testing"

	"github.com/quorate/quorate/internal/document"
)

type sample struct {
	Number uint64 `json:"number"`
}

func TestRoundTrip(t *testing.T) {
	data, err := document.Encode(1, sample{Number: 1 << 60})
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"format":1,"number":1152921504606846976}`; string(data) != want {
		t.Errorf("Encode = %s, want %s", data, want)
	}
	var got sample
	if err := document.Decode(data, 1, &got); err != nil || got.Number != 1<<60 {
		t.Errorf("Decode = %+v, %v", got, err)
	}
	if data, err = document.Encode(3, struct{}{}); err != nil || string(data) != `{"format":3}` {
		t.Errorf("Encode of an empty object = %s, %v", data, err)
	}
}

func TestDecodeRefuses(t *testing.T) {
	for _, data := range []string{"", "null", "7", `{"number":1}`, `{"format":2,"number":1}`, `{"format":"1"}`, `{"format":1,"number":"x"}`} {
		var got sample
		if err := document.Decode([]byte(data), 1, &got); !errors.Is(err, document.ErrFormat) {
			t.Errorf("Decode(%q) = %v, want ErrFormat", data, err)
		}
	}
	if _, err := document.Encode(1, 7); err == nil {
		t.Error("Encode of a number did not fail")
	}
}
