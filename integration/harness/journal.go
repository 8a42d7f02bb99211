package harness

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// JournalReader reads a file that a process appends whole lines to, as it grows.
type JournalReader struct {
	Path   string
	offset int64
}

// Next returns the lines that have come since the last call, without their ends.
// A last line that is not whole waits for the next call; a file that is not there
// has no lines.
func (r *JournalReader) Next() ([]string, error) {
	f, err := os.Open(r.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("opening a journal: %w", err)
	}
	defer f.Close()
	content, err := io.ReadAll(io.NewSectionReader(f, r.offset, 1<<40))
	if err != nil {
		return nil, fmt.Errorf("reading a journal: %w", err)
	}
	content = content[:bytes.LastIndexByte(content, '\n')+1]
	if len(content) == 0 {
		return nil, nil
	}
	r.offset += int64(len(content))
	return strings.Split(string(content[:len(content)-1]), "\n"), nil
}
