package backend

// JoinTraces returns a Trace that calls back all of these, in the order given:
// a bridge to a metrics system beside a service's own callbacks. Nil traces are
// ignored; a field that none of them has is nil. Later changes of their fields
// have no effect.
func JoinTraces(traces ...*Trace) *Trace {
	joined := new(Trace)
	for _, t := range traces {
		if t == nil {
			continue
		}
		join(&joined.SessionGranted, t.SessionGranted)
		join(&joined.SessionRenewed, t.SessionRenewed)
		join(&joined.SessionRenewFailed, t.SessionRenewFailed)
		join(&joined.SessionLost, t.SessionLost)
		join(&joined.CommitIndeterminate, t.CommitIndeterminate)
		join(&joined.Retrying, t.Retrying)
		join(&joined.WatchRestarted, t.WatchRestarted)
		join(&joined.OwnershipBegan, t.OwnershipBegan)
		join(&joined.OwnershipEnded, t.OwnershipEnded)
		join(&joined.BodyOverran, t.BodyOverran)
		join(&joined.JobRan, t.JobRan)
	}
	return joined
}

// join puts next behind what is there.
func join[E any](there *func(E), next func(E)) {
	first := *there
	switch {
	case next == nil:
	case first == nil:
		*there = next
	default:
		*there = func(event E) {
			first(event)
			next(event)
		}
	}
}
