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
		election{total: 3, faults: elFaults{TrustEnds: 1, RepliesLost: 1, Resigns: 1}})
	rule("a campaign is cancelled, a reply lost, it campaigns again", false,
		election{total: 3, faults: elFaults{Cancels: 1, RepliesLost: 1, Again: 1}})
	rule("two replies lost", false, election{total: 2, faults: elFaults{RepliesLost: 2}})
	rule("crash, resignation, again", false, election{total: 3, faults: elFaults{Crashes: 1, Resigns: 1, Again: 1}})
	rule("mark and term deleted by hand", true, election{remembered: true, total: 2, faults: elFaults{MarkDelete: 1, TermDeleted: 1}})
	rule("a reply lost, mark and term deleted by hand", false, election{total: 3, faults: elFaults{RepliesLost: 1, MarkDelete: 1, TermDeleted: 1}})
	rule("crash, resignation, mark and term deleted by hand", false, election{total: 3, faults: elFaults{Crashes: 1, Resigns: 1, MarkDelete: 1, TermDeleted: 1}})
	rule("a reply lost, any key deleted by hand", false, election{total: 2, faults: elFaults{RepliesLost: 1, EntryDeleted: 1, OfficeDeleted: 1, MarkDelete: 1, TermDeleted: 1}})
	rule("session revoked early, a reply lost", false, election{total: 2, faults: elFaults{Revoked: 1, RepliesLost: 1}})
	rule("wiped", false, election{history: true, total: 1, faults: elFaults{Wiped: 1}})
	rule("reads at once: wiped, a reply lost", false, election{atOnce: true, history: true, total: 2, faults: elFaults{Wiped: 1, RepliesLost: 1}})
	rule("reads at once: restored", false, election{atOnce: true, history: true, total: 1, faults: elFaults{Restored: 1}})
	rule("Strict: any two keys deleted by hand", true,
		election{strict: true, atOnce: true, total: 2, faults: elFaults{EntryDeleted: 1, OfficeDeleted: 1, MarkDelete: 1, TermDeleted: 1}})
	rule("Strict: revoked early, a reply lost", false, election{strict: true, total: 2, faults: elFaults{Revoked: 1, RepliesLost: 1}})
	rule("Strict: a reply lost, office and mark deleted by hand", false,
		election{strict: true, total: 3, faults: elFaults{RepliesLost: 1, OfficeDeleted: 1, MarkDelete: 1}})

	slow := map[string]bool{"released blindly": true} // too slow for the ordinary tests
	mutant := func(name, says string, broken string, m election) {
		m.atOnce = true
		add(Mutant, name, says, !slow[name], broken, m)
	}
	mutant("no sweep", "what landed after it was given up is swept", Stuck,
		election{elBent: elBent{noSweep: true}, total: 2, faults: elFaults{RepliesLost: 1, Resigns: 1}})
	mutant("no raise", "who remembers a higher number than is stored raises the term", Stuck,
		election{elBent: elBent{noRaise: true}, history: true, total: 1, faults: elFaults{Wiped: 1}})
	mutant("nothing made secure", "before an office is given up term and a mark have its number", elGrows.String(),
		election{elBent: elBent{noSecure: true}, remembered: true, total: 2, faults: elFaults{MarkDelete: 1, TermDeleted: 1}})
	mutant("only term made secure", "a mark is made too, as any one key may go afterwards", elGrows.String(),
		election{elBent: elBent{raiseOnly: true}, remembered: true, total: 2, faults: elFaults{MarkDelete: 1, TermDeleted: 1}})
	mutant("no base mark", "a take always names a mark", elGrows.String(),
		election{elBent: elBent{noBase: true}, total: 3, faults: elFaults{RepliesLost: 1, OfficeDeleted: 1, TermDeleted: 1}})
	mutant("one mark deleted", "a take deletes all marks that were listed", elGuard.String(),
		election{elBent: elBent{oneMark: true}, history: true, total: 1, faults: elFaults{Wiped: 1}})
	mutant("marks not counted", "a number is above those of the marks too", elGrows.String(),
		election{elBent: elBent{oldMarks: true}, total: 2, faults: elFaults{TermDeleted: 1, OfficeDeleted: 1}})
	mutant("take without the queue entry", "a take is conditioned on the own queue entry", elOrder.String(),
		election{elBent: elBent{noEntryCondition: true}, total: 3, faults: elFaults{RepliesLost: 1, Cancels: 1, Resigns: 1}})
	mutant("office cleared blindly", "a clean-up is conditioned on a key of the own tenure", elOthers.String(),
		election{elBent: elBent{clearBlindly: true}, total: 3, faults: elFaults{RepliesLost: 1, MarkDelete: 1, Again: 1}})
	mutant("released blindly", "a resignation is conditioned on the own mark", elOthers.String(),
		election{elBent: elBent{releaseBlindly: true}, total: 4, faults: elFaults{RepliesLost: 1, Resigns: 1, EntryDeleted: 1, TermDeleted: 1}})
	mutant("mark not watched", "the holder watches its mark", Stuck,
		election{elBent: elBent{markNotWatched: true}, total: 1, faults: elFaults{MarkDelete: 1}})
	mutant("the store expires what is trusted", "trust ends before the lease does", elOneLeads.String(),
		election{elBent: elBent{expiresTrusted: true}})
	mutant("Strict: no pause", "a Strict successor pauses unless the last tenure ended cleanly", elStrict.String(),
		election{strict: true, elBent: elBent{noPause: true}, total: 1, faults: elFaults{Revoked: 1}})
	mutant("Strict: no look at the office", "a Strict holder trusts itself only up to its last look at its office", elStrict.String(),
		election{strict: true, elBent: elBent{noConfirm: true}, total: 1, faults: elFaults{Revoked: 1}})

	add(Limit, "Strict: four keys deleted by hand", "no more than two keys go: a later holder may have to step down once", false, "",
		election{strict: true, atOnce: true, total: 3, faults: elFaults{EntryDeleted: 1, OfficeDeleted: 1, MarkDelete: 1, TermDeleted: 1}})
	return cases
}
