package httproute

import (
	"errors"
	"net/http"

	"github.com/quorate/quorate/route"
)

// NewHandler returns a handler that gives next only the requests for slots that
// this process runs, with the token that the request names. The request's context
// ends when the slot is no longer this process's; route.Slot returns the slot, with
// its fencing token.
//
// Other requests are answered with 421 and the header Quorate-Refused; without a
// valid Quorate-Slot header with 400. A request whose ticket is newer waits, see
// route.Gate.Enter. A caller that gives up meanwhile is answered with 503.
//
// The request counts as returned when next has. The slot cannot move before.
func NewHandler(gate *route.Gate, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ticket, err := route.ParseTicket(r.Header.Get(SlotHeader))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		ctx, leave, err := gate.Enter(r.Context(), ticket)
		switch {
		case errors.Is(err, route.ErrMisdirected):
			w.Header().Set(RefusedHeader, "1")
			http.Error(w, err.Error(), http.StatusMisdirectedRequest)
			return
		case err != nil:
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		defer leave()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}
