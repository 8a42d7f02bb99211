package partition

import "github.com/quorate/quorate/backend"

// reserve begins the use of the member's claims.
func (m *member) reserve() {
	p := m.Partition
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used[m.key] = true
	p.serving[m] = true
	if p.claimant == nil {
		p.claimant = p.store.NewClaimant(p.keys.claims, p.uses, nil)
	}
}

// release ends what reserve began, save for the claims: see retire.
func (m *member) release() {
	m.Partition.mu.Lock()
	defer m.Partition.mu.Unlock()
	delete(m.serving, m)
}

// uses reports whether claims are in use: a body may run on the strength of
// them.
func (p *Partition) uses(claims backend.Entry) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.used[claims.Key]
}

// retire ends the use of the member's claims. A restore may bring them back, or
// a creation that was given up may be applied; then they would keep slots from
// everybody. With soon they may be there now.
func (m *member) retire(soon bool) {
	p := m.Partition
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.used, m.key)
	p.claimant.GaveUp(m.session, soon)
	p.endClaimant()
}

// endClaimant ends the Claimant of a Partition that was closed, once no claims
// are in use. p.mu is held.
func (p *Partition) endClaimant() {
	if p.claimant != nil && p.life.Err() != nil && len(p.used) == 0 {
		p.claimant.Close()
		p.claimant = nil
	}
}
