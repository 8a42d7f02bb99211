package model

var aba = [ckWorkers]uint8{2, 1}

func each(n uint8) [ckWorkers]uint8 { return [ckWorkers]uint8{n, n} }

// checkpointCases are the configurations of the model of Checkpoint.
func checkpointCases() []Case {
	var cases []Case
	add := func(kind Kind, name, says string, short bool, broken sentence, m checkpoint) {
		whole := m
		whole.ckBent = ckBent{}
		cases = append(cases, Case{
			Model: "checkpoint", Kind: kind, Name: name, Says: says, Short: short,
			Expect: broken.String(), Run: m.run, Whole: whole.run,
		})
	}
	rule := func(name string, short bool, m checkpoint) { add(Rule, name, "", short, 0, m) }
	rule("1 claim and 2 saves each, 2 replies lost", true, checkpoint{claims: each(1), saves: 2, giveUps: 2})
	rule("1 claim and 2 saves each, 1 reply lost, 2 contexts end", false, checkpoint{claims: each(1), saves: 2, giveUps: 1, ctxEnds: 2})
	rule("claims of A, B and A, 2 saves each, 1 reply lost", false, checkpoint{claims: aba, saves: 2, giveUps: 1})
	rule("claims of A, B and A, 1 save each, 2 replies lost, 1 context ends", false, checkpoint{claims: aba, saves: 1, giveUps: 2, ctxEnds: 1})
	rule("2 claims and 1 save each, 1 reply lost, 1 context ends", false, checkpoint{claims: each(2), saves: 1, giveUps: 1, ctxEnds: 1})
	rule("guards: 2 claims, 1 save each, the office moves twice", true, checkpoint{claims: each(2), saves: 1, giveUps: 1, moves: 2, guards: true})
	rule("guards: 2 claims, 2 saves each, the office moves twice", false, checkpoint{claims: each(2), saves: 2, giveUps: 1, ctxEnds: 1, moves: 2, guards: true})
	rule("restore, versions count anew, nothing lands from before", false, checkpoint{claims: each(1), saves: 2, giveUps: 1, restores: 1})
	rule("restore, versions never repeat, commits land from before", false, checkpoint{claims: each(1), saves: 2, giveUps: 1, restores: 1, revisions: true})
	rule("deleted by hand, versions never repeat", false, checkpoint{claims: each(1), saves: 2, giveUps: 1, deletions: 1, revisions: true})

	slow := map[string]bool{"token per call": true, "base from before a restore": true} // too slow for the ordinary tests
	mutant := func(name, says string, broken sentence, m checkpoint) {
		add(Mutant, name, says, !slow[name], broken, m)
	}
	mutant("token only", "a save is conditioned on the document as last known, not on the own token alone", ckStoredOnce,
		checkpoint{claims: each(1), saves: 2, giveUps: 1, ckBent: ckBent{tokenOnly: true}})
	mutant("no look at the seq", "the own token with this seq is stored: it is not sent again", ckStoredOnce,
		checkpoint{claims: each(1), saves: 1, giveUps: 1, ckBent: ckBent{ownIsOld: true}})
	mutant("own token is enough", "the own token with an older seq is not stored", ckAcknowledged,
		checkpoint{claims: each(1), saves: 1, giveUps: 1, ckBent: ckBent{ownIsStored: true}})
	mutant("seq taken again", "a save whose outcome nobody learned has used up its seq", ckAcknowledged,
		checkpoint{claims: each(1), saves: 2, giveUps: 1, ctxEnds: 1, ckBent: ckBent{sameSeq: true}})
	mutant("doubt forgotten", "an error is also ErrIndeterminate when an attempt was in doubt", ckSurelyRefused,
		checkpoint{claims: each(1), saves: 1, giveUps: 1, ctxEnds: 1, ckBent: ckBent{noDoubt: true}})
	mutant("another's token overwritten", "another token in the document is ErrFenced", ckEarlierClaim,
		checkpoint{claims: each(1), saves: 1, giveUps: 1, ckBent: ckBent{noFence: true}})
	mutant("guard left out", "the guards are conditions of each claim and save", ckGuarded,
		checkpoint{claims: each(1), saves: 1, moves: 1, guards: true, ckBent: ckBent{noGuard: true}})
	mutant("token per call", "each attempt of a claim has a token of its own", ckEarlierClaim,
		checkpoint{claims: each(1), saves: 2, giveUps: 1, restores: 1, revisions: true, ckBent: ckBent{tokenPerCall: true}})
	mutant("base from before a restore", "a base from before a restore is not used: C12's generation", ckEarlierClaim,
		checkpoint{claims: each(1), saves: 2, giveUps: 1, restores: 1, ckBent: ckBent{oldBase: true}})

	limit := func(name, says string, m checkpoint) { add(Limit, name, says, false, 0, m) }
	limit("deleted by hand, versions count anew", "the document is not deleted by hand while workers claim and save",
		checkpoint{claims: each(1), saves: 2, giveUps: 1, deletions: 1})
	limit("restore, commits land from before", "ZooKeeper is restored with all servers stopped",
		checkpoint{claims: each(1), saves: 2, giveUps: 1, restores: 1, ckBent: ckBent{oldBase: true}, lateCommits: true})
	return cases
}
