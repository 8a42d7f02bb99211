package model

// electionCases are the configurations of the model of the election.
func electionCases() []Case {
	var cases []Case
	add := func(kind Kind, name, says string, short bool, broken string, m election) {
		whole := m
		whole.elBent = elBent{}
		cases = append(cases, Case{Model: "election", Kind: kind, Name: name, Says: says, Short: short, Expect: broken, Run: m.run, Whole: whole.run})
	}
	rule := func(name string, short bool, m election) { add(Rule, name, "", short, "", m) }
	rule("reads at once: trust ends, a reply is lost", true,
		election{atOnce: true, total: 2, faults: elFaults{TrustEnds: 1, RepliesLost: 1}})
	rule("trust ends, a reply is lost, a holder resigns", false,
		election{history: true, total: 3, faults: elFaults{TrustEnds: 1, RepliesLost: 1, Resigns: 1}})
	rule("a campaign is cancelled, a reply lost, it campaigns again", false,
		election{history: true, total: 3, faults: elFaults{Cancels: 1, RepliesLost: 1, Again: 1}})
	rule("two replies lost", false, election{history: true, total: 2, faults: elFaults{RepliesLost: 2}})
	rule("crash, resignation, again", false, election{total: 3, faults: elFaults{Crashes: 1, Resigns: 1, Again: 1}})
	rule("leader key and mark deleted by hand", true, election{remembered: true, atOnce: true, total: 2, faults: elFaults{MarkDeleted: 2, LeaderDeleted: 1}})
	rule("a reply lost, two marks deleted by hand", false, election{begun: true, remembered: true, total: 3, faults: elFaults{RepliesLost: 1, MarkDeleted: 2}})
	rule("crash, resignation, a mark deleted by hand", false, election{total: 3, faults: elFaults{Crashes: 1, Resigns: 1, MarkDeleted: 1}})
	rule("a reply lost, any key deleted by hand", false, election{history: true, total: 2, faults: elFaults{RepliesLost: 1, EntryDeleted: 1, LeaderDeleted: 1, MarkDeleted: 1}})
	rule("session revoked early, a reply lost", false, election{history: true, total: 2, faults: elFaults{Revoked: 1, RepliesLost: 1}})
	rule("wiped", false, election{history: true, total: 1, faults: elFaults{Wiped: 1}})
	rule("reads at once: wiped, a reply lost", false, election{atOnce: true, begun: true, total: 2, faults: elFaults{Wiped: 1, RepliesLost: 1}})
	rule("restored, a holder resigns", false, election{history: true, total: 2, faults: elFaults{Restored: 1, Resigns: 1}})
	rule("Strict: any two keys deleted by hand", true,
		election{strict: true, atOnce: true, history: true, total: 2, faults: elFaults{EntryDeleted: 1, LeaderDeleted: 1, MarkDeleted: 2}})
	rule("Strict: revoked early, a reply lost", false, election{strict: true, history: true, total: 2, faults: elFaults{Revoked: 1, RepliesLost: 1}})
	rule("Strict: a reply lost, leader key and mark deleted by hand", false,
		election{strict: true, atOnce: true, history: true, total: 3, faults: elFaults{RepliesLost: 1, LeaderDeleted: 1, MarkDeleted: 1}})
	rule("three: cancelled, a reply lost, resigned, again", false,
		election{n: 3, out: 1, begun: true, atOnce: true, total: 4, faults: elFaults{Cancels: 1, RepliesLost: 1, Resigns: 1, Again: 1}})
	rule("three: trust ends, a reply is lost, a holder resigns", false,
		election{n: 3, begun: true, total: 3, faults: elFaults{TrustEnds: 1, RepliesLost: 1, Resigns: 1}})
	rule("three: a reply lost, any key deleted by hand", false,
		election{n: 3, begun: true, atOnce: true, total: 2, faults: elFaults{RepliesLost: 1, EntryDeleted: 1, LeaderDeleted: 1, MarkDeleted: 1}})
	rule("three: restored, a holder resigns", false, election{n: 3, begun: true, atOnce: true, total: 2, faults: elFaults{Restored: 1, Resigns: 1}})
	rule("three: restored, a reply lost", false, election{n: 3, begun: true, atOnce: true, total: 2, faults: elFaults{Restored: 1, RepliesLost: 1}})
	rule("three: crash, a reply lost, cancelled, again", false,
		election{n: 3, out: 1, begun: true, atOnce: true, total: 4, faults: elFaults{Crashes: 1, RepliesLost: 1, Cancels: 1, Again: 1}})
	rule("three: a successor is named, a reply lost, a campaign cancelled", false,
		election{n: 3, begun: true, atOnce: true, total: 5, faults: elFaults{Transfers: 1, RepliesLost: 1, Cancels: 1, Resigns: 1, Again: 1}})
	rule("three: priorities, a reply lost, a holder resigns, again", false,
		election{n: 3, begun: true, atOnce: true, prio: [elCandidates]uint8{0, 0, 1}, total: 3, faults: elFaults{RepliesLost: 1, Resigns: 1, Again: 1}})
	rule("three: priorities that change, a holder resigns", false,
		election{n: 3, begun: true, atOnce: true, prio: [elCandidates]uint8{0, 0, 1}, total: 3, faults: elFaults{Reranked: 2, Resigns: 1}})
	rule("three: a successor is named, priorities begin", false,
		election{n: 3, begun: true, atOnce: true, total: 4, faults: elFaults{Transfers: 1, Cancels: 1, Reranked: 2, RepliesLost: 1}})
	rule("three: a successor is named, one with a priority joins", false,
		election{n: 3, begun: true, atOnce: true, prio: [elCandidates]uint8{0, 0, 1}, total: 3, faults: elFaults{Transfers: 1, Reranked: 1, Resigns: 1, Again: 1}})
	rule("three, two seats: a reply lost, a holder resigns", false,
		election{n: 3, seats: 2, history: true, atOnce: true, total: 2, faults: elFaults{RepliesLost: 1, Resigns: 1}})
	rule("three, two seats: a reply lost, any key deleted by hand", false,
		election{n: 3, seats: 2, history: true, atOnce: true, total: 2, faults: elFaults{RepliesLost: 1, EntryDeleted: 1, LeaderDeleted: 1, MarkDeleted: 1}})
	rule("Strict, three: revoked early, a reply lost, a holder resigns", false,
		election{n: 3, strict: true, begun: true, atOnce: true, total: 3, faults: elFaults{Revoked: 1, RepliesLost: 1, Resigns: 1}})
	rule("removed, a holder resigns, again", true,
		election{lock: true, history: true, atOnce: true, total: 3, faults: elFaults{Removed: 1, Resigns: 1, Again: 1}})
	rule("removed, another name removed, a holder resigns, again", false,
		election{lock: true, history: true, atOnce: true, total: 4, faults: elFaults{Removed: 1, Others: 1, Resigns: 1, Again: 1}})
	rule("removed, a reply lost, a holder resigns, again", false,
		election{lock: true, history: true, atOnce: true, total: 4, faults: elFaults{Removed: 1, RepliesLost: 1, Resigns: 1, Again: 1}})
	rule("removed at first use, a reply lost, a holder resigns, again", false,
		election{lock: true, atOnce: true, total: 4, faults: elFaults{Removed: 1, RepliesLost: 1, Resigns: 1, Again: 1}})
	rule("removed, a mark deleted by hand, a holder resigns, again", false,
		election{lock: true, begun: true, atOnce: true, remembered: true, total: 4, faults: elFaults{Removed: 1, MarkDeleted: 1, Resigns: 1, Again: 1}})
	rule("removed, restored, a holder resigns", false,
		election{lock: true, history: true, atOnce: true, total: 3, faults: elFaults{Removed: 1, Restored: 1, Resigns: 1}})
	rule("removed, wiped, again", false,
		election{lock: true, begun: true, out: 1, atOnce: true, total: 4, faults: elFaults{Removed: 1, Wiped: 1, Resigns: 1, Again: 1}})
	rule("three, two seats: removed twice, resigned, again", false,
		election{lock: true, n: 3, out: 1, seats: 2, history: true, atOnce: true, total: 4, faults: elFaults{Removed: 2, Resigns: 1, Again: 1}})
	rule("one tries: a reply lost, resigned, cancelled, again", true,
		election{lock: true, tries: 1, atOnce: true, total: 3, faults: elFaults{RepliesLost: 1, Resigns: 1, Cancels: 1, Again: 1}})
	rule("three, one tries: trust ends, a reply lost, resigned, again", false,
		election{lock: true, n: 3, tries: 1, begun: true, atOnce: true, total: 3, faults: elFaults{TrustEnds: 1, RepliesLost: 1, Resigns: 1, Again: 1}})
	rule("three, two seats: one fewer, a reply lost, a holder resigns", false,
		election{lock: true, n: 3, seats: 2, limited: 1, history: true, atOnce: true, total: 3, faults: elFaults{Limited: 1, RepliesLost: 1, Resigns: 1}})
	rule("three, two seats: one more, a reply lost, a holder resigns", false,
		election{lock: true, n: 3, seats: 2, limit: 1, limited: 2, history: true, atOnce: true, total: 3, faults: elFaults{Limited: 1, RepliesLost: 1, Resigns: 1}})
	rule("two seats at first use: one more, one fewer, trust ends, resigned", true,
		election{lock: true, seats: 2, limit: 1, limited: 2, atOnce: true, total: 2, faults: elFaults{Limited: 1, TrustEnds: 1, Resigns: 1}})

	mutant := func(name, says string, broken string, m election) {
		m.atOnce = true
		add(Mutant, name, says, true, broken, m)
	}
	mutant("no sweep", "the collector deletes entries that were created after they were given up", Stuck,
		election{elBent: elBent{noSweep: true}, begun: true, n: 3, total: 3, faults: elFaults{RepliesLost: 1, Cancels: 1, Resigns: 1}})
	mutant("no raise", "a candidate that remembers a higher number than the marks creates a mark with it", Stuck,
		election{elBent: elBent{noRaise: true}, history: true, total: 1, faults: elFaults{Wiped: 1}})
	mutant("no spare", "a take creates two marks, so that its number is in two keys besides the leader key", elGrows.String(),
		election{elBent: elBent{noSpare: true}, begun: true, out: 1, remembered: true, total: 3, faults: elFaults{MarkDeleted: 1, LeaderDeleted: 1, Again: 1}})
	mutant("nothing made secure", "before a leader key is given up two marks have the highest number", elGrows.String(),
		election{elBent: elBent{noSecure: true}, begun: true, out: 1, remembered: true, total: 3, faults: elFaults{MarkDeleted: 2, Again: 1}})
	mutant("no base mark", "a take always names a mark", elGrows.String(),
		election{elBent: elBent{noBase: true}, total: 1, faults: elFaults{Resigns: 1}})
	mutant("one mark deleted", "a take deletes all marks that were read", elGuard.String(),
		election{elBent: elBent{oneMark: true}, begun: true, total: 1, faults: elFaults{Resigns: 1}})
	mutant("marks not counted", "a number is above those of the marks", elGrows.String(),
		election{elBent: elBent{oldMarks: true}, history: true, total: 2, faults: elFaults{LeaderDeleted: 1}})
	mutant("the queue entry stays", "a take deletes the own queue entry", Stuck,
		election{elBent: elBent{noEntryCondition: true, noSweep: true}, begun: true, n: 3, total: 3, faults: elFaults{Resigns: 2}})
	mutant("express past the queue", "an express take requires an empty queue, read after the call", elOrder.String(),
		election{elBent: elBent{expressBlindly: true}, begun: true, n: 3, out: 1, total: 2, faults: elFaults{Resigns: 1, Again: 1}})
	mutant("marks not replaced", "a take in doubt is settled by replacing the marks that it names", elOver.String(),
		election{elBent: elBent{noReplace: true}, history: true, total: 2, faults: elFaults{RepliesLost: 1, Cancels: 1, Again: 1}})
	mutant("marks replaced by lower ones", "the marks that replace others have the same numbers", elGrows.String(),
		election{elBent: elBent{replaceZero: true}, history: true, total: 1, faults: elFaults{RepliesLost: 1}})
	mutant("clear names no mark", "a commit that deletes a leader key names all marks that were read", elOthers.String(),
		election{elBent: elBent{clearBlindly: true}, begun: true, total: 3, faults: elFaults{RepliesLost: 1, LeaderDeleted: 1, MarkDeleted: 1}})
	mutant("released blindly", "a resignation names the own marks", elOthers.String(),
		election{elBent: elBent{releaseBlindly: true}, begun: true, total: 3, faults: elFaults{RepliesLost: 1, Resigns: 1, LeaderDeleted: 1}})
	mutant("mark not watched", "the holder watches its mark", Stuck,
		election{elBent: elBent{markNotWatched: true}, begun: true, total: 1, faults: elFaults{MarkDeleted: 1}})
	mutant("the store expires what is trusted", "trust ends before the lease does", elOneLeads.String(),
		election{elBent: elBent{expiresTrusted: true}})
	mutant("the named successor is passed", "a candidate that is not named waits for the entry of the one that is", elNamed.String(),
		election{elBent: elBent{namedIgnored: true}, begun: true, n: 3, total: 1, faults: elFaults{Transfers: 1}})
	mutant("named for ever", "a successor is named only as long as its entry exists", Stuck,
		election{elBent: elBent{namedForEver: true}, begun: true, n: 3, total: 2, faults: elFaults{Transfers: 1, Cancels: 1}})
	mutant("the named successor is not woken", "the entry ahead of a named successor is put", Stuck,
		election{elBent: elBent{noTouch: true}, begun: true, n: 3, total: 1, faults: elFaults{Transfers: 1}})
	mutant("who moves up is at the head", "an owner that took office out of turn does not say that the queue ahead is empty", elOrder.String(),
		election{elBent: elBent{jumpIgnored: true}, begun: true, n: 3, total: 4, faults: elFaults{Transfers: 1, Resigns: 2, Again: 1}})
	mutant("a priority is not read", "where there are priorities, the queue is read before the office is taken", elPrior.String(),
		election{elBent: elBent{priorUnread: true}, begun: true, n: 3, prio: [elCandidates]uint8{0, 0, 1}, total: 1, faults: elFaults{Resigns: 1}})
	mutant("there is no word of priorities", "a commit that gives an entry a priority creates the key that says so", elPrior.String(),
		election{elBent: elBent{rankedSilently: true}, begun: true, n: 3, prio: [elCandidates]uint8{0, 0, 1}, total: 1, faults: elFaults{Resigns: 1}})
	mutant("a successor is named among priorities", "a resignation that names a successor is refused once there are priorities", Stuck,
		election{elBent: elBent{namedAmongRanks: true}, begun: true, n: 3, prio: [elCandidates]uint8{0, 0, 1}, total: 3, faults: elFaults{Transfers: 1, Cancels: 1, Reranked: 1}})
	mutant("a priority is changed silently", "a candidate that changes its priority puts its entry", Stuck,
		election{elBent: elBent{rerankedSilently: true}, begun: true, n: 3, prio: [elCandidates]uint8{0, 0, 1}, total: 2, faults: elFaults{Reranked: 1, Resigns: 1}})
	mutant("Strict: no pause", "a Strict successor pauses unless the last tenure ended cleanly", elStrict.String(),
		election{strict: true, elBent: elBent{noPause: true}, begun: true, total: 1, faults: elFaults{Revoked: 1}})
	mutant("Strict: no look at the leader key", "a Strict holder trusts itself only up to its last look at its key", elStrict.String(),
		election{strict: true, elBent: elBent{noConfirm: true}, begun: true, total: 1, faults: elFaults{Revoked: 1}})
	mutant("Strict: raised marks are clean", "a mark that is of no tenure is not clean", elStrict.String(),
		election{strict: true, elBent: elBent{raiseClean: true}, begun: true, total: 3, faults: elFaults{LeaderDeleted: 1, MarkDeleted: 2}})
	mutant("a take in doubt stays in doubt", "a take in doubt is settled before its sender waits in the queue", Stuck,
		election{elBent: elBent{doubtWaits: true}, history: true, total: 2, faults: elFaults{RepliesLost: 2}})
	mutant("raise leaves the marks", "a number is raised by replacing the marks, so that a holder with a lower one ends", Stuck,
		election{elBent: elBent{raiseKeeps: true}, history: true, total: 1, faults: elFaults{Wiped: 1}})
	mutant("the floor is not raised", "a removal puts the floor as high as the marks that it deletes", elGrows.String(),
		election{elBent: elBent{floorNotRaised: true}, lock: true, history: true, total: 1, faults: elFaults{Removed: 1}})
	mutant("the floor is not named", "a commit that creates the base mark names the floor", elGrows.String(),
		election{elBent: elBent{floorNotNamed: true}, lock: true, out: 1, total: 4, faults: elFaults{RepliesLost: 1, Resigns: 1, Removed: 1, Again: 1}})
	mutant("the limit is not put", "a commit that creates marks beside a removal conflicts with it", elGrows.String(),
		election{elBent: elBent{limitNotPut: true}, lock: true, out: 1, total: 4, faults: elFaults{RepliesLost: 1, Resigns: 1, Removed: 1, Again: 1}})
	mutant("the floor is put blindly", "a removal names the floor that it read", elFloor.String(),
		election{elBent: elBent{removeNoFloorCheck: true}, lock: true, out: 1, history: true, total: 2, faults: elFaults{Removed: 1, Others: 1}})
	mutant("made secure blindly", "a commit that creates marks beside others names those", elGrows.String(),
		election{elBent: elBent{secureBlindly: true}, lock: true, begun: true, out: 1, total: 5, faults: elFaults{MarkDeleted: 1, RepliesLost: 1, Resigns: 1, Removed: 1, Again: 1}})
	mutant("removed while held", "a name is removed only if nobody holds it or waits", elInUse.String(),
		election{elBent: elBent{removeBlindly: true}, lock: true, begun: true, total: 1, faults: elFaults{Removed: 1}})
	mutant("the limit is not named", "a take names the number of seats that it read", elLimits.String(),
		election{elBent: elBent{limitNotNamed: true}, lock: true, seats: 2, limited: 1, history: true, total: 1, faults: elFaults{Limited: 1}})

	add(Limit, "both marks deleted while nobody leads", "the number of an ended tenure is in two keys", false, elGrows.String(),
		election{atOnce: true, history: true, remembered: true, total: 2, faults: elFaults{MarkDeleted: 2}})
	return cases
}
