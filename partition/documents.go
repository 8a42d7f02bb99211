package partition

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/internal/assign"
	"github.com/quorate/quorate/internal/document"
)

// format is the number of the formats of the documents below.
const format = 1

// keys are where a partition keeps its state.
type keys struct {
	plan   string // persistent: who should
	line   string // directory: line/<nonce>, persistent marks, normally one
	claims string // directory: claims/<registration>, ephemeral: who may

	control string // persistent: what operators ask for
}

func newKeys(name string) (keys, error) {
	base, err := backend.Path(backend.KindPartition, name)
	return keys{plan: base + "/plan", line: base + "/line", claims: base + "/claims", control: base + "/control"}, err
}

func (k keys) mark(nonce string) string            { return k.line + "/" + nonce }
func (k keys) claimsOf(registration string) string { return k.claims + "/" + registration }

// planDocument is the value of the plan. The table has two numbers for each
// slot, as varints: which of the members is its owner, from 1, or 0 for none;
// and how many epochs ago its owner last changed. So 16,384 slots take at most
// 150 KB as long as no slot stays for 2^35 epochs, 50 KB usually.
type planDocument struct {
	Group    string   `json:"group"`
	Slots    int      `json:"slots"`
	Epoch    uint64   `json:"epoch"`
	Nonce    string   `json:"nonce"`
	Line     string   `json:"line"`
	Proposer string   `json:"proposer"`
	Members  []string `json:"members"` // registrations
	Weights  []int    `json:"weights"`
	Table    []byte   `json:"table"`
}

func (p *plan) encode(proposer string) []byte {
	doc := planDocument{
		Group: p.group, Slots: len(p.Slots), Epoch: p.epoch, Nonce: p.nonce, Line: p.line, Proposer: proposer,
		Members: p.Members, Weights: p.Weights,
	}
	for _, s := range p.Slots {
		doc.Table = binary.AppendUvarint(doc.Table, uint64(s.Owner+1))
		doc.Table = binary.AppendUvarint(doc.Table, p.epoch-s.Token)
	}
	return encode(doc)
}

func decodePlan(e backend.Entry) (*plan, error) {
	var doc planDocument
	if err := decode(e, &doc); err != nil {
		return nil, err
	}
	p := &plan{
		planID: planID{doc.Epoch, doc.Nonce}, group: doc.Group, line: doc.Line,
		Table: assign.Table{Members: doc.Members, Weights: doc.Weights},
	}
	bad := func(what string) error {
		return fmt.Errorf("%s: %w: %s", e.Key, backend.ErrFormat, what)
	}
	if doc.Slots < 1 || doc.Slots > MaxSlots || len(doc.Weights) != len(doc.Members) || doc.Nonce == "" || doc.Line == "" {
		return nil, bad("the plan contradicts itself")
	}
	table := numbers{rest: doc.Table}
	p.Slots = make([]assign.Slot, doc.Slots)
	for k := range p.Slots {
		owner, age := table.next(), table.next()
		if owner > uint64(len(p.Members)) || age > p.epoch {
			return nil, bad("the table is broken")
		}
		p.Slots[k] = assign.Slot{Owner: int(owner) - 1, Token: p.epoch - age}
	}
	if !table.done() {
		return nil, bad("the table is broken")
	}
	return p, nil
}

// claimsDocument is the value of a member's claims. The slots are pairs of
// varints, in order: how far the slot is after the last one, and its token;
// given up ones without a token.
type claimsDocument struct {
	// Process is the Partition that wrote it, and Write counts its writes, so
	// that no two values of a key are equal: a put of equal bytes would leave
	// the version, and an earlier one that lands late would be applied after it.
	Process string `json:"process"`
	Write   uint64 `json:"write"`
	Epoch   uint64 `json:"epoch"` // the highest seen
	Weight  int    `json:"weight"`
	Zone    string `json:"zone,omitempty"`
	Version string `json:"version,omitempty"`
	Leaving bool   `json:"leaving,omitempty"`
	Count   int    `json:"count"` // of slots, for an operator to read
	Slots   []byte `json:"slots,omitempty"`
	GaveUp  []byte `json:"gave_up,omitempty"`
}

// claims is a claimsDocument as it was read, or is to be written.
type claims struct {
	process string
	write   uint64
	epoch   uint64
	weight  int
	zone    string
	version string
	leaving bool
	slots   map[int]uint64 // what it may be running, with tokens
	gaveUp  map[int]bool
}

func (c *claims) clone() *claims {
	d := *c
	d.slots, d.gaveUp = maps.Clone(c.slots), maps.Clone(c.gaveUp)
	return &d
}

func (c *claims) encode() []byte {
	doc := claimsDocument{
		Process: c.process, Write: c.write, Epoch: c.epoch, Weight: c.weight, Zone: c.zone, Version: c.version, Leaving: c.leaving, Count: len(c.slots),
	}
	last := 0
	for _, k := range slices.Sorted(maps.Keys(c.slots)) {
		doc.Slots = binary.AppendUvarint(doc.Slots, uint64(k-last))
		doc.Slots = binary.AppendUvarint(doc.Slots, c.slots[k])
		last = k
	}
	last = 0
	for _, k := range slices.Sorted(maps.Keys(c.gaveUp)) {
		doc.GaveUp = binary.AppendUvarint(doc.GaveUp, uint64(k-last))
		last = k
	}
	return encode(doc)
}

func decodeClaims(e backend.Entry) (*claims, error) {
	var doc claimsDocument
	if err := decode(e, &doc); err != nil {
		return nil, err
	}
	c := &claims{
		process: doc.Process, write: doc.Write, epoch: doc.Epoch, weight: doc.Weight, zone: doc.Zone, version: doc.Version, leaving: doc.Leaving,
		slots: make(map[int]uint64), gaveUp: make(map[int]bool),
	}
	table, last := numbers{rest: doc.Slots}, 0
	for table.more() {
		k := table.slot(&last)
		c.slots[k] = table.next()
	}
	given, last := numbers{rest: doc.GaveUp}, 0
	for given.more() {
		c.gaveUp[given.slot(&last)] = true
	}
	if !table.done() || !given.done() || len(c.slots) != doc.Count || doc.Weight < 1 {
		return nil, fmt.Errorf("%s: %w: the tables are broken", e.Key, backend.ErrFormat)
	}
	return c, nil
}

// markDocument is the value of a mark, whose key says it all, save for the
// format; the proposer is there for an operator to read.
type markDocument struct {
	Proposer string `json:"proposer"`
}

// numbers reads varints. After an error it yields numbers that are too large,
// and is never done.
type numbers struct {
	rest   []byte
	broken bool
}

func (n *numbers) next() uint64 {
	v, size := binary.Uvarint(n.rest)
	if size <= 0 {
		n.rest, n.broken = nil, true
		return math.MaxUint64
	}
	n.rest = n.rest[size:]
	return v
}

func (n *numbers) more() bool { return len(n.rest) > 0 }

// done reports whether all was read, and no more.
func (n *numbers) done() bool { return !n.broken && len(n.rest) == 0 }

// slot reads how far a slot is after the last one, which begins with 0.
func (n *numbers) slot(last *int) int {
	if step := n.next(); step < MaxSlots {
		*last += int(step)
	} else {
		n.broken = true
	}
	n.broken = n.broken || *last >= MaxSlots
	return *last
}

// encode cannot fail: the documents are of strings and numbers.
func encode(v any) []byte {
	data, err := document.Encode(format, v)
	if err != nil {
		panic(err)
	}
	return data
}

func decode(e backend.Entry, v any) error {
	if err := document.Decode(e.Value, format, v); err != nil {
		return fmt.Errorf("%s: %w", e.Key, err)
	}
	return nil
}
