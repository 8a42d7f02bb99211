package debug

import (
	"fmt"
	"strings"

	"github.com/quorate/quorate/partition"
)

// slotMap is the map of slots over members, to be drawn: a grid of cells of
// size one, row after row, one path for each member.
type slotMap struct {
	Columns, Rows int
	Gutter        float64 // left of the cells, for numbers
	Font          float64
	Width         int // in pixels, if there is room
	Paths         []mapPath
	Moving        string // a mark on each slot of which the claims say other than the plan
	Labels        []mapLabel
}

// mapPath are the slots of one member, or of none.
type mapPath struct {
	Class string
	Title string
	D     string
}

// mapLabel says which slot a row begins with.
type mapLabel struct {
	Y    float64
	Slot int
}

const (
	cellPixels = 22   // of a cell, if there is room
	spaced     = 1024 // up to so many slots are drawn apart
)

func mapOf(s partition.Status, order []string, members map[string]*slotMember) slotMap {
	m := slotMap{Columns: 1}
	for m.Columns*m.Columns < 4*len(s.Slots) {
		m.Columns *= 2
	}
	m.Columns = max(min(m.Columns, len(s.Slots)), 1)
	m.Rows = (len(s.Slots) + m.Columns - 1) / m.Columns
	m.Font = max(0.55, float64(m.Columns)/90)
	m.Gutter = m.Font * (0.62*float64(len(fmt.Sprint(len(s.Slots)))) + 0.6)
	m.Width = int((float64(m.Columns) + m.Gutter) * cellPixels)
	step := 1
	for float64(step) < 1.5*m.Font {
		step *= 2
	}
	for row := 0; row < m.Rows; row += step {
		m.Labels = append(m.Labels, mapLabel{Y: float64(row) + 0.5, Slot: row * m.Columns})
	}
	paths := make(map[string]*strings.Builder)
	var moving strings.Builder
	for k := 0; k < len(s.Slots); {
		owner := s.Slots[k].Owner.Registration
		length := 1
		for len(s.Slots) > spaced && k+length < len(s.Slots) && (k+length)%m.Columns != 0 && s.Slots[k+length].Owner.Registration == owner {
			length++
		}
		if paths[owner] == nil {
			paths[owner] = new(strings.Builder)
		}
		x, y := k%m.Columns, k/m.Columns
		if len(s.Slots) > spaced {
			fmt.Fprintf(paths[owner], "M%d %dh%dv1h-%dz", x, y, length, length)
		} else {
			fmt.Fprintf(paths[owner], "M%d.06 %d.06h.88v.88h-.88z", x, y)
		}
		k += length
	}
	for k, slot := range s.Slots {
		if !slot.Settled() {
			fmt.Fprintf(&moving, "M%d.5 %d.2l.3 .3l-.3 .3l-.3-.3z", k%m.Columns, k/m.Columns)
		}
	}
	if d := paths[""]; d != nil {
		m.Paths = append(m.Paths, mapPath{Class: "nobody", Title: "nobody's", D: d.String()})
	}
	for _, registration := range order {
		if d := paths[registration]; d != nil {
			who := members[registration]
			m.Paths = append(m.Paths, mapPath{
				Class: fmt.Sprint("c", who.Colour), D: d.String(),
				Title: fmt.Sprintf("%s: %d slots", who.ID, who.Planned),
			})
		}
	}
	m.Moving = moving.String()
	return m
}

// ViewBox is the part of the plane that is shown.
func (m slotMap) ViewBox() string {
	return fmt.Sprintf("%.2f -0.1 %.2f %.2f", -m.Gutter, float64(m.Columns)+m.Gutter+0.1, float64(m.Rows)+0.2)
}
