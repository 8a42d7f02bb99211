package model

// counterCases are the configurations of the model of the counter.
func counterCases() []Case {
	var cases []Case
	add := func(kind Kind, name, says string, short bool, broken string, m counter) {
		whole := m
		whole.coBent = coBent{}
		cases = append(cases, Case{Model: "counter", Kind: kind, Name: name, Says: says, Short: short, Expect: broken, Run: m.run, Whole: whole.run})
	}
	rule := func(name string, short bool, m counter) { add(Rule, name, "", short, "", m) }
	rule("2 writers of 2 adds, 1 entry, 2 replies lost, 1 context ends", true, counter{writers: 2, adds: 2, entries: 1, repliesLost: 2, ctxEnds: 1})
	rule("2 writers of 2 adds, 2 entries, 2 replies lost, 1 context ends", true, counter{writers: 2, adds: 2, entries: 2, repliesLost: 2, ctxEnds: 1})
	rule("2 writers of 3 adds, 1 entry, 1 reply lost, 1 context ends", false, counter{writers: 2, adds: 3, entries: 1, repliesLost: 1, ctxEnds: 1})
	rule("2 writers of 2 adds, 1 entry, 1 reply lost, 2 contexts end", true, counter{writers: 2, adds: 2, entries: 1, repliesLost: 1, ctxEnds: 2})
	rule("2 writers of 2 adds, 1 entry, a crash, 1 reply lost, 1 context ends", true, counter{writers: 2, adds: 2, entries: 1, repliesLost: 1, ctxEnds: 1, crashes: 1})
	rule("3 writers of 1 add, 1 entry, 2 replies lost, 1 context ends", true, counter{writers: 3, adds: 1, entries: 1, repliesLost: 2, ctxEnds: 1})
	rule("3 writers of 2 adds, 2 entries, 2 replies lost, 1 context ends", false, counter{writers: 3, adds: 2, entries: 2, repliesLost: 2, ctxEnds: 1})
	rule("2 writers of 3 adds, 1 entry, a crash, 2 replies lost, 2 contexts end", false, counter{writers: 2, adds: 3, entries: 1, repliesLost: 2, ctxEnds: 2, crashes: 1})
	rule("restore, versions count anew, nothing lands from before", true, counter{writers: 2, adds: 2, entries: 1, repliesLost: 1, ctxEnds: 1, restores: 1})
	rule("restore, versions never repeat, nothing lands from before", true, counter{writers: 2, adds: 2, entries: 1, repliesLost: 1, ctxEnds: 1, restores: 1, revisions: true})
	rule("2 writers of 2 adds, 1 entry, a Delete, 1 reply lost, 1 context ends", true, counter{writers: 2, adds: 2, entries: 1, repliesLost: 1, ctxEnds: 1, deletes: 1})
	rule("2 writers of 2 adds, 2 entries, 2 Deletes, 2 replies lost", false, counter{writers: 2, adds: 2, entries: 2, repliesLost: 2, deletes: 2})

	mutant := func(name, says string, broken sentence, m counter) { add(Mutant, name, says, true, broken.String(), m) }
	mutant("sent again without a look", "a commit in doubt is not sent again before it is known not to be applied", coOnce,
		counter{writers: 1, adds: 1, entries: 2, repliesLost: 1, coBent: coBent{noLook: true}})
	mutant("retried under the next number", "what is sent again has the same number", coOnce,
		counter{writers: 1, adds: 1, entries: 2, repliesLost: 1, coBent: coBent{nextSeq: true}})
	mutant("no entry is not applied", "without an entry it is not applied only if none was pushed out since", coOnce,
		counter{writers: 2, adds: 1, entries: 1, repliesLost: 1, coBent: coBent{noDropped: true}})
	mutant("doubt forgotten on refusal", "once an attempt was in doubt every refusal is decided by the document", coOnce,
		counter{writers: 2, adds: 1, entries: 2, repliesLost: 1, coBent: coBent{doubtForgotten: true}})
	mutant("number taken again", "an add whose caller gave up has used up its number", coAcknowledged,
		counter{writers: 1, adds: 2, entries: 2, repliesLost: 1, ctxEnds: 1, coBent: coBent{sameSeq: true}})
	mutant("said not to be applied", "who gives up on a commit under way is told ErrIndeterminate", coDenied,
		counter{writers: 1, adds: 1, entries: 2, ctxEnds: 1, coBent: coBent{denies: true}})
	mutant("base from before a restore", "a base from before a restore is not used: C12's generation", coSum,
		counter{writers: 2, adds: 2, entries: 1, repliesLost: 1, restores: 1, coBent: coBent{oldBase: true}})
	mutant("key used again after a Delete", "what is created after a Delete has a key that never was", coDeleted,
		counter{writers: 2, adds: 2, entries: 1, ctxEnds: 1, deletes: 1, coBent: coBent{sameKey: true}})
	mutant("fate guessed after a Delete", "by the document of another key nobody knows what became of a commit", coOnce,
		counter{writers: 2, adds: 1, entries: 1, repliesLost: 1, deletes: 1, coBent: coBent{keyIgnored: true}})

	add(Limit, "deleted by hand, versions count anew", "the document is not deleted by hand while processes count", false, "",
		counter{writers: 2, adds: 2, entries: 1, repliesLost: 1, deletions: 1})
	add(Limit, "restore, commits land from before", "nothing from before a restore lands after it", false, "",
		counter{writers: 2, adds: 2, entries: 1, repliesLost: 1, ctxEnds: 1, restores: 1, revisions: true, lateCommits: true})
	return cases
}
