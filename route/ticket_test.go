package route_test

import (
	"errors"
	"math"
	"testing"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/partition"
	"github.com/quorate/quorate/route"
)

func TestTicket(t *testing.T) {
	for _, ticket := range []route.Ticket{
		{"p", 0, 1},
		{"a/b c%", partition.MaxSlots - 1, math.MaxUint64},
	} {
		if got, err := route.ParseTicket(ticket.String()); err != nil || got != ticket {
			t.Errorf("%q is read as %+v, %v", ticket, got, err)
		}
	}
	if got := (route.Ticket{Partition: "a/b", Slot: 3, Token: 14}).String(); got != "a%2Fb/3/14" {
		t.Errorf("the ticket is written as %q", got)
	}
	for _, text := range []string{"", "p", "p/1", "p/1/2/3", "p/x/1", "p/-1/1", "p/16384/1", "p/1/-1", "p/01/1", "p/1/+1", "%zz/1/1"} {
		if got, err := route.ParseTicket(text); !errors.Is(err, backend.ErrInvalid) {
			t.Errorf("%q is read as %+v, %v", text, got, err)
		}
	}
}

func TestNewGate(t *testing.T) {
	if _, err := route.NewGate("", nil); !errors.Is(err, backend.ErrInvalid) {
		t.Errorf("NewGate without a name: %v", err)
	}
	if ctx := t.Context(); route.Slot(ctx) != nil || route.Leaving(ctx) != nil {
		t.Error("a context that is not from a Gate has a slot")
	}
}
