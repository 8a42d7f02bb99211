package route

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/partition"
)

// Ticket says for which slot, and for which owner of it, a request is meant.
type Ticket struct {
	Partition string
	Slot      int
	Token     uint64
}

// TicketFor returns the ticket of a request to an owner that router named.
func TicketFor(router *partition.Router, owner partition.Owner) Ticket {
	return Ticket{Partition: router.Name(), Slot: owner.Slot, Token: owner.Token}
}

// String returns the ticket as it is sent: <partition>/<slot>/<token>, with the
// partition's name escaped as a segment of a URL's path.
func (t Ticket) String() string {
	return url.PathEscape(t.Partition) + "/" + strconv.Itoa(t.Slot) + "/" + strconv.FormatUint(t.Token, 10)
}

// ParseTicket reads a ticket that String wrote. Any other text is
// backend.ErrInvalid.
func ParseTicket(text string) (Ticket, error) {
	parts := strings.Split(text, "/")
	if len(parts) == 3 {
		name, err1 := url.PathUnescape(parts[0])
		slot, err2 := strconv.ParseUint(parts[1], 10, 32)
		token, err3 := strconv.ParseUint(parts[2], 10, 64)
		t := Ticket{Partition: name, Slot: int(slot), Token: token}
		if err1 == nil && err2 == nil && err3 == nil && slot < partition.MaxSlots && t.String() == text {
			return t, nil
		}
	}
	return Ticket{}, fmt.Errorf("route: %w: %q is no ticket", backend.ErrInvalid, text)
}

type (
	keyKey    struct{}
	tenureKey struct{}
)

// WithKey returns a context for a call that is to go to the owner of key.
func WithKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, keyKey{}, key)
}

// Key returns the key that WithKey has set.
func Key(ctx context.Context) (key string, ok bool) {
	key, ok = ctx.Value(keyKey{}).(string)
	return key, ok
}

// Slot returns the slot that a Gate admitted a request for, or nil if ctx is not
// from Gate.Enter.
func Slot(ctx context.Context) *partition.Slot {
	if t, ok := ctx.Value(tenureKey{}).(*tenure); ok {
		return t.slot
	}
	return nil
}

// Leaving returns a channel that is closed when the slot of a request is to move
// to another member, which then waits for the request to return. It is nil if ctx
// is not from Gate.Enter.
func Leaving(ctx context.Context) <-chan struct{} {
	if t, ok := ctx.Value(tenureKey{}).(*tenure); ok {
		return t.leaving
	}
	return nil
}
