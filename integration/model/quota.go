package model

// The model of quota.Quota, rule by rule:
//
//	take         quota/share.go take: from the share, if its window is not over
//	reserve      quota/reserve.go reserve: what a process writes over what it has read
//	landed       a reservation that is acknowledged becomes the share
//	lost         one whose outcome is not known is given up
//	clock        each process has a clock of its own; it also steps when a process has watched a window for its length
//	arrive       backend/driver Commit: compare, then put
//	disasters    a restore, and a Delete (internal/removable), after which the document has another key
//
// A read and the commit that is made of it are one step, as in the other models.

const (
	quProcesses = 2
	quWindows   = 3 // a clock shows
	quFlights   = 6
)

// Of docs/guarantees.md, "Quotas".
var quLimit = says("in a window no more is granted than the quota allows, to all processes together")

// quDocument is the document of a quota.
type quDocument struct {
	There      bool
	Key        uint8
	Version    uint8
	Generation uint8
	Window     uint8
	Used       uint8
}

// quCommit is a reservation on its way.
type quCommit struct {
	By     uint8 // its process + 1; 0 if there is none
	Waited bool
	Units  uint8
	Base   quDocument
	Doc    quDocument
}

type quProcess struct {
	Clock  uint8 // the window that it shows
	Waits  bool  // for a reply
	Window uint8 // of the share
	Share  uint8
	Takes  uint8 // granted
	Asked  uint8 // reservations begun
	// Seen is the latest state that the process knows of.
	SeenWindow, SeenUsed uint8
}

type quState struct {
	Doc, Snapshot quDocument
	Snapped       bool
	Gen           uint8
	Processes     [quProcesses]quProcess
	Flights       [quFlights]quCommit

	Lost, Restores, Deletes uint8 // faults that may yet be

	Granted [quWindows]uint8 // ghost
	Broken  sentence
}

// quotaModel is a configuration.
type quotaModel struct {
	limit, share, takes, asks uint8
	lost, restores, deletes   uint8
	short                     bool // clocks show one window less

	quBent
}

// quBent is what mutants leave out, or bend.
type quBent struct {
	doubtUsed, windowBack, unconditional, sameKey bool
}

// reserve sends the next reservation, made of the document as it is read.
func (m *quotaModel) reserve(s *quState, p int) bool {
	a, now := &s.Processes[p], s.Doc
	now.Generation = s.Gen
	window, used := now.Window, now.Used
	if !now.There {
		window, used = 0, 0
	}
	if a.SeenWindow > window || a.SeenWindow == window && a.SeenUsed > used {
		window, used = a.SeenWindow, a.SeenUsed
	}
	a.SeenWindow, a.SeenUsed = window, used
	if a.Clock > window || m.windowBack && a.Clock != window {
		window, used = a.Clock, 0
	}
	units := min(m.share, m.limit-used)
	if units == 0 {
		return false
	}
	a.Waits = true
	a.Asked++
	put := quDocument{There: true, Key: now.Key, Window: window, Used: used + units}
	c := quCommit{By: uint8(p) + 1, Waited: true, Units: units, Base: now, Doc: put}
	for i := range s.Flights {
		if s.Flights[i].By == 0 {
			s.Flights[i] = c
			return true
		}
	}
	s.Broken.is(tooSmall)
	return true
}

// landed is a reservation that is acknowledged.
func (a *quProcess) landed(c quCommit) {
	a.Waits = false
	if a.Window != c.Doc.Window {
		a.Share = 0
	}
	a.Window, a.Share = c.Doc.Window, a.Share+c.Units
	a.SeenWindow, a.SeenUsed = c.Doc.Window, c.Doc.Used
}

func (m *quotaModel) next(s quState, took func(Step, quState)) {
	for p := range s.Processes {
		m.work(s, p, took)
	}
	for i := range s.Flights {
		if s.Flights[i].By != 0 {
			m.arrive(s, i, took)
		}
	}
	m.disasters(s, took)
}

func (m *quotaModel) work(s quState, p int, took func(Step, quState)) {
	who, a := ckName(p), s.Processes[p]
	if a.Clock+1 < quWindows && (!m.short || a.Clock+2 < quWindows) {
		n := s
		n.Processes[p].Clock++
		took(Step{who, "its clock shows the next window", false}, n)
	}
	switch {
	case a.Waits || a.Takes == m.takes:
	case a.Share > 0 && a.Window >= a.Clock:
		n := s
		n.Processes[p].Share--
		n.Processes[p].Takes++
		if n.Granted[a.Window]++; n.Granted[a.Window] > m.limit {
			n.Broken.is(quLimit)
		}
		took(Step{who, "take: one is granted from the share", false}, n)
	case a.Asked < m.asks:
		n := s
		if m.reserve(&n, p) {
			took(Step{who, "take: read the document, reserve", false}, n)
		}
	}
	if a.Waits && s.Lost > 0 {
		n := s
		n.Lost--
		for i := range n.Flights {
			if c := &n.Flights[i]; int(c.By) == p+1 && c.Waited {
				c.Waited = false
				n.Processes[p].Waits = false
				if m.doubtUsed {
					n.Processes[p].landed(*c)
				}
			}
		}
		took(Step{who, "no reply in time: what was reserved is given up, and may land later", true}, n)
	}
}

// arrive is a commit that reaches the store.
func (m *quotaModel) arrive(s quState, i int, took func(Step, quState)) {
	c, n := s.Flights[i], s
	copy(n.Flights[i:], n.Flights[i+1:])
	n.Flights[quFlights-1] = quCommit{}
	a, now := &n.Processes[c.By-1], s.Doc
	stands := now.There == c.Base.There && (!now.There || now.Version == c.Base.Version)
	stands = stands && (now.Key == c.Base.Key || m.sameKey) && c.Base.Generation == s.Gen
	if !stands && !m.unconditional {
		if c.Waited {
			a.Waits = false
		}
		took(Step{ckName(int(c.By) - 1), "its reservation arrives and is refused", !c.Waited}, n)
		return
	}
	n.Doc = c.Doc
	n.Doc.Key = now.Key
	n.Doc.Version = now.Version + 1
	if c.Waited {
		a.landed(c)
	}
	took(Step{ckName(int(c.By) - 1), "its reservation lands", !c.Waited}, n)
}

// disasters are what happens to the store.
func (m *quotaModel) disasters(s quState, took func(Step, quState)) {
	if s.Deletes > 0 && s.Doc.There {
		n := s
		n.Deletes--
		n.Doc = quDocument{Key: s.Doc.Key + 1}
		// From here on a quota counts anew: what was granted is no part of it.
		n.Granted = [quWindows]uint8{}
		for p := range n.Processes {
			a := &n.Processes[p]
			a.Share, a.SeenWindow, a.SeenUsed = 0, 0, 0
		}
		took(Step{"D", "Delete is applied, and all processes begin anew", true}, n)
	}
	switch {
	case s.Restores == 0:
	case !s.Snapped:
		n := s
		n.Snapshot, n.Snapped = s.Doc, true
		took(Step{"store", "a snapshot is taken", true}, n)
	case s.Snapshot != s.Doc:
		n := s
		n.Restores--
		n.Gen++
		n.Doc, n.Snapshot, n.Snapped = s.Snapshot, quDocument{}, false
		took(Step{"store", "the snapshot is restored", true}, n)
	}
}

func (m *quotaModel) run(limit int) Result {
	return Search(Protocol[quState]{
		Init:   quState{Lost: m.lost, Restores: m.restores, Deletes: m.deletes},
		Next:   m.next,
		Broken: func(s quState) string { return s.Broken.String() },
		Good: func(s quState) bool {
			for _, a := range s.Processes {
				if a.Waits {
					return false
				}
			}
			return true
		},
	}, limit)
}
