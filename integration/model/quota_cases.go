package model

// quotaCases are the configurations of the model of quotas.
func quotaCases() []Case {
	var cases []Case
	long := map[string]bool{"2 of a window, shares of 1, 2 replies lost": true} // too slow for the ordinary tests
	add := func(kind Kind, name, says string, broken sentence, m quotaModel) {
		whole := m
		whole.quBent = quBent{}
		cases = append(cases, Case{
			Model: "quota", Kind: kind, Name: name, Says: says, Short: kind != Limit && !long[name],
			Expect: broken.String(), Run: m.run, Whole: whole.run,
		})
	}
	add(Rule, "2 of a window, shares of 1, 1 reply lost", "", 0, quotaModel{limit: 2, share: 1, takes: 3, asks: 3, lost: 1})
	add(Rule, "2 of a window, shares of 1, 2 replies lost", "", 0, quotaModel{limit: 2, share: 1, takes: 3, asks: 3, lost: 2})
	add(Rule, "3 of a window, shares of 2, 1 reply lost", "", 0, quotaModel{limit: 3, share: 2, takes: 3, asks: 3, lost: 1})
	add(Rule, "2 of a window, shares of 2, a Delete, 1 reply lost", "", 0, quotaModel{limit: 2, share: 2, takes: 3, asks: 3, lost: 1, deletes: 1, short: true})

	mutant := func(name, says string, m quotaModel) { add(Mutant, name, says, quLimit, m) }
	mutant("doubt used", "what was reserved by a commit in doubt is not handed out",
		quotaModel{limit: 2, share: 2, takes: 3, asks: 3, lost: 1, quBent: quBent{doubtUsed: true}})
	mutant("window goes back", "a process whose clock is behind counts in the window of the document",
		quotaModel{limit: 2, share: 1, takes: 3, asks: 3, quBent: quBent{windowBack: true}})
	mutant("no condition", "a reservation depends on the document that it was made of",
		quotaModel{limit: 2, share: 1, takes: 3, asks: 3, quBent: quBent{unconditional: true}})
	mutant("key used again after a Delete", "what is created after a Delete has a key that never was",
		quotaModel{limit: 2, share: 1, takes: 3, asks: 3, lost: 1, deletes: 1, short: true, quBent: quBent{sameKey: true}})

	add(Limit, "restore", "no process grants what another has been granted since a backup", quLimit,
		quotaModel{limit: 2, share: 1, takes: 3, asks: 3, restores: 1})
	return cases
}
