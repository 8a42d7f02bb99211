package simulation

import (
	"encoding/json"
)

// saved is the value of the checkpoints: a number that grows, and who saved it.
type saved struct {
	By string `json:"by"`
	N  uint64 `json:"n"`
}

// progress checks a checkpoint. Its numbers grow from claim to save to save, so
// a lower one is one that goes back.
type progress struct {
	what  string
	now   uint64 // as the store has it
	acked uint64 // the highest that was acknowledged and not undone
	saves int    // acknowledged
	epoch int    // counts wipes and restores
}

// landed notes a commit of the document. Saves are held to the fence of the
// office that guards them; a claim does not change the value.
func (p *progress) landed(s *simulation, f *fence, document []byte) {
	var doc struct{ Value saved }
	if err := json.Unmarshal(document, &doc); err != nil {
		s.t.Errorf("%s: what is stored is %q: %v", p.what, document, err)
		return
	}
	s.story.Tell("%s is %+v, was %d", p.what, doc.Value, p.now)
	if doc.Value.N < p.now || doc.Value.N < p.acked {
		s.t.Errorf("%s goes back to %d from %d, of which %d was acknowledged", p.what, doc.Value.N, p.now, p.acked)
	}
	if doc.Value.N > p.now && !f.wrote(doc.Value.By) {
		s.t.Errorf("%s: a save of %s was applied after a later owner's write", p.what, doc.Value.By)
	}
	p.now = doc.Value.N
}

// claimed checks what a claim returned that began when floor was acknowledged,
// in an epoch.
func (p *progress) claimed(s *simulation, by string, value saved, floor uint64, epoch int) {
	if epoch == p.epoch && (value.N < floor || value.N > p.now) {
		s.t.Errorf("%s: the claim of %s returned %d; %d was acknowledged before, and %d is stored", p.what, by, value.N, floor, p.now)
	}
}

// saved notes that a save of an epoch was acknowledged.
func (p *progress) saved(s *simulation, by string, n uint64, epoch int) {
	if epoch != p.epoch {
		return // what became of it before the restore is not known here
	}
	if n > p.now {
		s.t.Errorf("%s: the save of %d by %s was acknowledged, and the store has %d", p.what, n, by, p.now)
	}
	p.acked = max(p.acked, n)
	p.saves++
}

// undone puts the checker back to what a backup has.
func (p *progress) undone(now uint64) {
	p.now, p.acked = now, now
	p.epoch++
}
