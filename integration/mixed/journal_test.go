package mixed

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// history is what the lines of the journal say, read in their order.
type history struct {
	leader  string
	term    uint64
	tenures int
	owners  map[int]string // of slots that are run now
	tokens  map[int]uint64 // the last of each slot
	sees    map[string]string
	drawn   map[uint64]string // numbers of the sequence
	counted map[string]int
	tells   map[string]string
	leaders map[string]bool // the versions that have led, by the first part of the name
	moves   map[string]bool // from which version to which a slot has moved
	last    map[int]string  // who ran a slot last
	wrong   []string
}

// version returns the part of a worker's name that says which it is of.
func version(id string) string { return id[:strings.IndexByte(id, '-')] }

func read(journal string) (*history, error) {
	data, err := os.ReadFile(journal)
	if err != nil {
		return nil, err
	}
	h := &history{
		owners: map[int]string{}, tokens: map[int]uint64{}, sees: map[string]string{}, drawn: map[uint64]string{},
		counted: map[string]int{}, tells: map[string]string{}, leaders: map[string]bool{}, moves: map[string]bool{},
		last: map[int]string{},
	}
	whole := data[:strings.LastIndexByte(string(data), '\n')+1]
	for line := range strings.Lines(string(whole)) {
		if err := h.take(strings.Fields(line)); err != nil {
			return nil, fmt.Errorf("%q: %w", line, err)
		}
	}
	return h, nil
}

func (h *history) complain(format string, args ...any) {
	h.wrong = append(h.wrong, fmt.Sprintf(format, args...))
}

func (h *history) take(words []string) error {
	if len(words) < 2 {
		return fmt.Errorf("%d words", len(words))
	}
	id, what, args := words[0], words[1], words[2:]
	var numbers []uint64
	if what != "sees" && what != "tells" {
		for _, arg := range args {
			n, err := strconv.ParseUint(arg, 10, 64)
			if err != nil {
				return err
			}
			numbers = append(numbers, n)
		}
	}
	switch what + "/" + strconv.Itoa(len(args)) {
	case "lead/2":
		h.leads(id, numbers[0], numbers[1])
	case "end/1":
		if h.leader != id || h.term != numbers[0] {
			h.complain("%s ends term %d, but %s leads, term %d", id, numbers[0], h.leader, h.term)
		}
		h.leader = ""
	case "run/2":
		h.runs(id, int(numbers[0]), numbers[1])
	case "stop/2":
		if k := int(numbers[0]); h.owners[k] != id {
			h.complain("%s stops slot %d, which %q runs", id, k, h.owners[k])
		} else {
			delete(h.owners, k)
		}
	case "sees/1":
		h.sees[id] = args[0]
	case "sees/0":
		h.sees[id] = ""
	case "draws/1":
		if other, taken := h.drawn[numbers[0]]; taken {
			h.complain("%s and %s have both drawn %d", other, id, numbers[0])
		}
		h.drawn[numbers[0]] = id
	case "counted/0":
		h.counted[id]++
	case "tells/2":
		h.tells[id] = strings.Join(args, " ")
	case "dead/0": // by the test, when the process was gone
		if h.leader == id {
			h.leader = ""
		}
		for k, owner := range h.owners {
			if owner == id {
				delete(h.owners, k)
			}
		}
		delete(h.sees, id)
	default:
		return fmt.Errorf("%s with %d arguments", what, len(args))
	}
	return nil
}

func (h *history) leads(id string, term, before uint64) {
	if h.leader != "" {
		h.complain("%s leads, term %d, beside %s, term %d", id, term, h.leader, h.term)
	}
	if term <= h.term {
		h.complain("term %d of %s comes after %d", term, id, h.term)
	}
	if before != uint64(h.tenures) {
		h.complain("%s finds %d tenures in the checkpoint, after %d", id, before, h.tenures)
	}
	h.leader, h.term = id, term
	h.tenures++
	h.leaders[version(id)] = true
}

func (h *history) runs(id string, k int, token uint64) {
	if other, taken := h.owners[k]; taken {
		h.complain("%s runs slot %d beside %s", id, k, other)
	}
	if token <= h.tokens[k] {
		h.complain("slot %d: token %d of %s comes after %d", k, token, id, h.tokens[k])
	}
	h.owners[k], h.tokens[k] = id, token
	if last := h.last[k]; last != "" {
		h.moves[version(last)+"-"+version(id)] = true
	}
	h.last[k] = id
}

// shares says how many slots each worker runs now.
func (h *history) shares() map[string]int {
	shares := map[string]int{}
	for _, id := range h.owners {
		shares[id]++
	}
	return shares
}
