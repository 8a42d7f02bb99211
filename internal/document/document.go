// Package document encodes what the primitives store: JSON, so that an
// operator can read it with the store's own tools, with a format number, so
// that a version of the library never acts on what it does not understand.
package document

import (
	"encoding/json"
	"errors"
	"fmt"
)

// ErrFormat: a stored document has a format number that this version of the
// library does not know, or is not a document at all.
var ErrFormat = errors.New("unknown document format")

// Encode returns the JSON of v, an object, with "format" in front.
func Encode(format int, v any) ([]byte, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode document: %w", err)
	}
	if len(body) < 2 || body[0] != '{' {
		return nil, fmt.Errorf("encode document: %T is not a JSON object", v)
	}
	head := fmt.Appendf(nil, `{"format":%d`, format)
	if len(body) > 2 {
		head = append(head, ',')
	}
	return append(head, body[1:]...), nil
}

// Decode parses data into v if its format is the one wanted, and fails with
// ErrFormat otherwise.
func Decode(data []byte, format int, v any) error {
	var head struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if head.Format != format {
		return fmt.Errorf("%w: found %d, this version reads %d", ErrFormat, head.Format, format)
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return nil
}
