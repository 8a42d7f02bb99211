package model

// Kind says what is expected of a case.
type Kind string

const (
	// Rule is the protocol as the code has it: everything holds.
	Rule Kind = "rule"
	// Mutant leaves a rule out, or bends it: something breaks.
	Mutant Kind = "mutant"
	// Limit is the protocol under what it is documented not to withstand: what
	// docs/guarantees.md says does not hold breaks, and is no surprise.
	Limit Kind = "limit"
)

// Case is one search: a model in one configuration.
type Case struct {
	Model  string
	Kind   Kind
	Name   string // of the configuration, and of the mutant or limit
	Says   string // of a mutant or a limit: the sentence that is left out
	Short  bool   // it is fast enough for the ordinary tests
	Expect string // of a mutant or limit: what breaks; "" for anything
	Run    func(limit int) Result
	// Whole is the same without what a mutant leaves out: it has to hold, or
	// the mutant shows nothing.
	Whole func(limit int) Result
}

// OK reports whether a result is what the case expects.
func (c Case) OK(r Result) bool {
	switch {
	case c.Kind == Rule:
		return r.Holds()
	case c.Expect == "":
		return r.Broken != ""
	default:
		return r.Broken == c.Expect
	}
}

// Cases returns the cases of all models.
func Cases() []Case {
	var all []Case
	for _, cases := range [][]Case{checkpointCases(), electionCases(), counterCases(), claimsCases(), quotaCases()} {
		all = append(all, cases...)
	}
	return all
}

// sentence is the number of a guarantee, for states to say which one broke.
type sentence uint8

var sentences = []string{""}

// tooSmall is not a guarantee: a case whose bounds leave no room for what
// happens in it proves nothing.
var tooSmall = says("the model is too small for this configuration")

// says numbers a guarantee.
func says(text string) sentence {
	sentences = append(sentences, text)
	return sentence(len(sentences) - 1)
}

func (s sentence) String() string { return sentences[s] }

// is notes that a guarantee broke, unless one did before.
func (s *sentence) is(broken sentence) {
	if *s == 0 {
		*s = broken
	}
}
