package memory

// Stats counts requests that reached the store, whatever their outcome and
// whether or not the reply got back.
type Stats struct {
	Reads, Commits, Watches, Grants, Renewals, Revokes uint64
}

// Stats returns the requests of all drivers so far.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

// Stats returns the driver's own requests so far.
func (d *Driver) Stats() Stats {
	d.server.mu.Lock()
	defer d.server.mu.Unlock()
	return d.stats
}

// count adds one to a counter of the driver and to the server's of that kind.
func (d *Driver) count(counter func(*Stats) *uint64) {
	*counter(&d.stats)++
	*counter(&d.server.stats)++
}

func reads(s *Stats) *uint64    { return &s.Reads }
func commits(s *Stats) *uint64  { return &s.Commits }
func watches(s *Stats) *uint64  { return &s.Watches }
func grants(s *Stats) *uint64   { return &s.Grants }
func renewals(s *Stats) *uint64 { return &s.Renewals }
func revokes(s *Stats) *uint64  { return &s.Revokes }
