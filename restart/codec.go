package restart

import (
	"encoding/json"
	"fmt"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/internal/document"
)

// checkpointFormat is the number of the format of progress.
const checkpointFormat = 1

// maxProgress bounds a progress document: a commit may have MaxTxnBytes, and
// the keys of the checkpoint and of its guards count.
const maxProgress = backend.MaxTxnBytes - 8<<10

// CheckpointOptions are the options of a Checkpoint; nil means the
// defaults.
type CheckpointOptions[T any] struct {
	// Encode and Decode turn a value into bytes and back; both or none are set.
	// By default the value is stored as the JSON of package encoding/json, which
	// an operator can read with the store's own tools.
	Encode func(T) ([]byte, error)
	Decode func([]byte) (T, error)
}

// progress is the document of a checkpoint.
type progress struct {
	Token string `json:"token"` // of the claim
	Seq   uint64 `json:"seq"`   // of the last save under that claim
	// Value is what was saved, as JSON, or its bytes as a string of base64;
	// empty if nothing ever was.
	Value json.RawMessage `json:"value,omitempty"`
}

// encode returns the JSON of a value.
func (o *CheckpointOptions[T]) encode(value T) (json.RawMessage, error) {
	if o.Encode == nil {
		data, err := json.Marshal(value)
		if err != nil {
			return nil, fmt.Errorf("%w: the value cannot be encoded: %w", backend.ErrInvalid, err)
		}
		return data, nil
	}
	data, err := o.Encode(value)
	if err != nil {
		return nil, fmt.Errorf("%w: the value cannot be encoded: %w", backend.ErrInvalid, err)
	}
	if data == nil {
		data = []byte{} // null would do for a value of JSON only
	}
	return json.Marshal(data)
}

// decode returns the value of a document, zero if there is none.
func (o *CheckpointOptions[T]) decode(raw json.RawMessage) (value T, err error) {
	switch {
	case len(raw) == 0:
		return value, nil
	case o.Decode == nil:
		err = json.Unmarshal(raw, &value)
	default:
		var data []byte
		if err = json.Unmarshal(raw, &data); err == nil {
			value, err = o.Decode(data)
		}
	}
	if err != nil {
		return value, fmt.Errorf("%w: the stored value cannot be decoded: %w", backend.ErrFormat, err)
	}
	return value, nil
}

func encodeProgress(p progress) ([]byte, error) {
	data, err := document.Encode(checkpointFormat, p)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", backend.ErrInvalid, err)
	}
	if len(data) > maxProgress {
		return nil, fmt.Errorf("%w: the value takes %d bytes as it is stored, at most %d are allowed", backend.ErrTooLarge, len(data), maxProgress)
	}
	return data, nil
}
