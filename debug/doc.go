// Package debug serves a page that shows what a Store and the primitives on it
// are doing: the session and its trust window, who leads and who waits, who is
// there, which slots are whose, what was counted. It is for people who look,
// and the same is served as JSON.
//
//	page, err := debug.Handler(store, &debug.Options{Elections: []*election.Election{e}})
//	...
//	mux.Handle("/debug/quorate", page)
//
// # Who may see it
//
// Whoever can reach it: it asks for no password, and shows names, addresses and
// metadata of your processes. Mount it on a listener that is private. It
// changes nothing, and what it shows is escaped, whoever wrote it to the store.
//
// # What it costs
//
// Any number of viewers cost the store one round of reads per second at most,
// and none without viewers: one Read for each Election, Partition, Counter and
// Tally, eight at a time, under one deadline, Options.Timeout. A Group is shown
// by its View, which costs nothing more where it is in use, and begins to follow
// the group where it is not. Long lists are cut, and say so.
//
// # When the store is away
//
// The page is served all the same: it says what could not be read and why, with
// what was last read and when. The session is shown as it is at that instant,
// for which the store is not asked.
package debug
