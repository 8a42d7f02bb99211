package model

// claimsCases are the configurations of the model of the claims.
func claimsCases() []Case {
	var cases []Case
	add := func(kind Kind, name, says string, short bool, broken string, m claims) {
		whole := m
		whole.clBent = clBent{}
		cases = append(cases, Case{Model: "claims", Kind: kind, Name: name, Says: says, Short: short, Expect: broken, Run: m.run, Whole: whole.run})
	}
	rule := func(name string, short bool, m claims) { add(Rule, name, "", short, "", m) }
	rule("looks at once: a move, a reply lost", false, claims{atOnce: true, total: 2, faults: clFaults{Moves: 1, RepliesLost: 1}})
	rule("a move, a reply lost", false, claims{total: 2, faults: clFaults{Moves: 1, RepliesLost: 1}})
	rule("looks at once: two moves, a reply lost", false, claims{atOnce: true, total: 3, faults: clFaults{Moves: 2, RepliesLost: 1}})
	rule("looks at once: plan and mark deleted by hand", false, claims{atOnce: true, total: 2, faults: clFaults{PlanDeleted: 1, MarkDeleted: 1}})
	rule("looks at once: crash, a move, registers again", false, claims{atOnce: true, total: 3, faults: clFaults{Crashes: 1, Moves: 1, Rejoins: 1}})
	rule("Strict, looks at once: revoked early, a move", false, claims{strict: true, atOnce: true, total: 2, faults: clFaults{Revoked: 1, Moves: 1}})

	// Where the slot runs already there is room for more to happen.
	started := func(name string, short bool, m claims) {
		m.started = true
		rule("started: "+name, short, m)
	}
	started("two moves, a reply lost", true, claims{total: 3, faults: clFaults{Moves: 2, RepliesLost: 1}})
	started("three moves, two replies lost", false, claims{total: 5, faults: clFaults{Moves: 3, RepliesLost: 2}})
	started("trust ends, a move, a reply lost, registers again", false, claims{total: 4, faults: clFaults{TrustEnds: 1, Moves: 1, RepliesLost: 1, Rejoins: 1}})
	started("crash, a move, a reply lost, registers again", false, claims{total: 4, faults: clFaults{Crashes: 1, Moves: 1, RepliesLost: 1, Rejoins: 1}})
	started("a Run ends, two replies lost", false, claims{total: 3, faults: clFaults{Quits: 1, RepliesLost: 2}})
	started("a creation that is late, a Run ends, a move", true, claims{late: true, total: 2, faults: clFaults{Quits: 1, Moves: 1}})
	started("claims deleted by hand, a move, a reply lost, registers again", false, claims{total: 4, faults: clFaults{ClaimsDeleted: 1, Moves: 1, RepliesLost: 1, Rejoins: 1}})
	started("revoked early, a move, a reply lost, registers again", false, claims{total: 4, faults: clFaults{Revoked: 1, Moves: 1, RepliesLost: 1, Rejoins: 1}})
	started("plan and mark deleted by hand, a move", false, claims{total: 3, faults: clFaults{PlanDeleted: 1, MarkDeleted: 1, Moves: 1}})
	started("plan deleted by hand, a move, a reply lost", false, claims{total: 3, faults: clFaults{PlanDeleted: 1, Moves: 1, RepliesLost: 1}})
	started("restored, all had seen the newest plan, two moves, registers again", false, claims{allSeen: true, total: 4, faults: clFaults{Restored: 1, Moves: 2, Rejoins: 1}})
	started("restored, a Run ends", true, claims{total: 2, faults: clFaults{Restored: 1, Quits: 1}})
	strict := func(name string, short bool, m claims) {
		m.strict, m.started = true, true
		rule("Strict, started: "+name, short, m)
	}
	strict("claims deleted by hand, a reply lost, a move", false, claims{total: 3, faults: clFaults{ClaimsDeleted: 1, RepliesLost: 1, Moves: 1}})
	strict("a creation that is late, claims deleted by hand, a move", true, claims{late: true, total: 2, faults: clFaults{ClaimsDeleted: 1, Moves: 1}})
	strict("revoked early, two moves, registers again", false, claims{total: 4, faults: clFaults{Revoked: 1, Moves: 2, Rejoins: 1}})
	strict("plan deleted by hand, a move", false, claims{total: 2, faults: clFaults{PlanDeleted: 1, Moves: 1}})

	mutant := func(name, says string, broken string, m claims) {
		m.atOnce = true
		add(Mutant, name, says, name != "marks kept", broken, m) // which is slow
	}
	mutant("claim without the plan", "a claim is conditioned on the plan and its mark as read", clGrows.String(),
		claims{clBent: clBent{noPlanCondition: true}, started: true, total: 3, faults: clFaults{Moves: 2, RepliesLost: 1}})
	mutant("run while a release is unsettled", "a run needs a claim with the plan's present token, and no release of it in doubt", clOneRuns.String(),
		claims{clBent: clBent{runsUnsettled: true}, started: true, total: 4, faults: clFaults{Moves: 3, RepliesLost: 1}})
	mutant("released before the body returned", "the claim goes when the body has returned", clOneRuns.String(),
		claims{clBent: clBent{releasesEarly: true}, total: 1, faults: clFaults{Moves: 1}})
	mutant("no sweep", "claims that come back after their registration are swept", Stuck,
		claims{clBent: clBent{noSweep: true}, started: true, total: 2, faults: clFaults{Quits: 1, Restored: 1}})
	mutant("marks kept", "a new line deletes all marks that were listed", clGrows.String(),
		claims{clBent: clBent{marksKept: true}, total: 2, faults: clFaults{PlanDeleted: 1, RepliesLost: 1}})
	mutant("no fork rule", "a plan of another history is not acted on", clGrows.String(),
		claims{clBent: clBent{noFork: true}, allSeen: true, started: true, total: 4, faults: clFaults{Restored: 1, Moves: 2, Rejoins: 1}})
	mutant("Strict: no wait", "a slot that was not seen released waits a TTL", clStrict.String(),
		claims{clBent: clBent{noWait: true}, started: true, strict: true, total: 2, faults: clFaults{Revoked: 1, Moves: 1}})
	mutant("Strict: created again is released", "claims that were created again are no release", clStrict.String(),
		claims{clBent: clBent{againIsReleased: true}, started: true, late: true, strict: true, total: 2, faults: clFaults{ClaimsDeleted: 1, Moves: 1}})
	return cases
}
