package bench

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"
)

// progress prints what came of a row in short.
func (r *Report) progress(o outcome) {
	out := r.config.Progress
	for _, l := range o.lines {
		fmt.Fprintf(out, "  %s: ours %s, stock %s, to stock %s, floor %s, to floor %s\n", l.what,
			l.unit.show(l.ours), l.unit.show(l.peer), ratios(toPeer.figures(&l)), l.unit.show(l.floor), ratios(toFloor.figures(&l)))
		for _, g := range l.goals {
			text, _ := g.verdict(&l)
			fmt.Fprintf(out, "    %s\n", text)
		}
	}
	if o.err != nil {
		fmt.Fprintf(out, "  FAILED: %v\n", o.err)
	}
	fmt.Fprintf(out, "  took %v\n", o.took.Round(100*time.Millisecond))
}

// Page is the report as docs/benchmarks.md. It refers to the CSV file beside it.
func (r *Report) Page() string {
	var b strings.Builder
	b.WriteString(`# Benchmarks

"Ours" is Quorate. "Stock" is the recipe of the store's own client, and the floor is the least that the store takes for the
same result. All three take turns on one cluster and one machine. A figure is a median. A ratio is the median of the
ratios of all pairs, with the middle four fifths of them in brackets. [The rows](#the-rows) says what each row measures, and
[the raw figures](benchmarks.csv) are in a file. ` + "`make bench`" + ` writes this page; do not edit it.

| | |
| --- | --- |
`)
	for _, fact := range [][2]string{
		{"machine", machine()},
		{"stores", strings.Join(r.versions, ", ") + ": three servers of each on this machine, with fsync, one store at a time"},
		{"Go", runtime.Version()},
		{"commit", commit()},
		{"date", r.began.UTC().Format("2006-01-02")},
		{"took", r.took.Round(time.Second).String()},
	} {
		fmt.Fprintf(&b, "| %s | %s |\n", fact[0], fact[1])
	}
	var n notes
	for _, store := range append(Stores(), aloneStore) {
		r.table(&b, store, &n)
	}
	n.write(&b)
	b.WriteString("\n## The rows\n")
	for _, row := range rows {
		if r.has(row) {
			fmt.Fprintf(&b, "\n**%s.** %s\n", row.title, row.about)
		}
	}
	b.WriteString("\nThe stock recipes:\n\n| store | election | mutex | semaphore | counter | membership |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, store := range Stores() {
		r := recipe[store]
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", titles[store], r.election, r.mutex, r.semaphore, r.counter, r.presence)
	}
	return b.String()
}

// titles are the headings of the tables.
var titles = map[string]string{
	"etcd": "etcd", "consul": "Consul", "zookeeper": "ZooKeeper", "postgres": "PostgreSQL", aloneStore: "Without a store",
}

// table writes the figures of one store.
func (r *Report) table(b *strings.Builder, store string, n *notes) {
	header := false
	for _, o := range r.outcomes {
		if o.store != store {
			continue
		}
		if !header {
			fmt.Fprintf(b, "\n## %s\n\n| | ours | stock | ours / stock | floor | ours / floor | goal |\n| --- | --- | --- | --- | --- | --- | --- |\n", titles[store])
			header = true
		}
		if o.err != nil {
			fmt.Fprintf(b, "| %s | **failed** | | | | | %s |\n", o.row.title, n.mark(firstLine(o.err.Error())))
		}
		for _, l := range o.lines {
			fmt.Fprintf(b, "| %s: %s | %s | %s | %s | %s | %s | %s |\n", o.row.title, l.what, l.unit.show(l.ours), l.unit.show(l.peer),
				ratios(toPeer.figures(&l)), n.named(l.unit.show(l.floor), l.floorIs), ratios(toFloor.figures(&l)), n.verdicts(&l, store))
		}
	}
}

func (r *Report) has(row row) bool {
	return slices.ContainsFunc(r.outcomes, func(o outcome) bool { return o.row.name == row.name })
}

// notes are the reasons that a page gives, once each.
type notes struct{ texts []string }

// mark returns the number of a note, in brackets.
func (n *notes) mark(text string) string {
	at := slices.Index(n.texts, text)
	if at < 0 {
		at = len(n.texts)
		n.texts = append(n.texts, text)
	}
	return fmt.Sprintf("[%d](#notes)", at+1)
}

// named adds to figures the note of what they are of.
func (n *notes) named(figures, name string) string {
	if figures == "-" || name == "" {
		return figures
	}
	return figures + " " + n.mark("The floor is "+name+".")
}

// verdicts are those of a line's goals, with the reason where one is missed.
func (n *notes) verdicts(l *line, store string) string {
	if len(l.goals) == 0 {
		return "-"
	}
	var all []string
	missed := false
	for _, g := range l.goals {
		text, met := g.verdict(l)
		all = append(all, text)
		missed = missed || !met
	}
	verdict := strings.Join(all, "; ")
	if reason := l.why.on(store); missed && reason != "" {
		verdict += " " + n.mark(reason)
	}
	return verdict
}

func (n *notes) write(b *strings.Builder) {
	if len(n.texts) == 0 {
		return
	}
	b.WriteString("\n## Notes\n\n")
	for i, text := range n.texts {
		fmt.Fprintf(b, "%d. %s\n", i+1, text)
	}
}

func firstLine(text string) string {
	text, _, _ = strings.Cut(text, "\n")
	return text
}

// machine says what this ran on.
func machine() string {
	model := runtime.GOARCH
	if f, err := os.Open("/proc/cpuinfo"); err == nil {
		defer f.Close()
		for lines := bufio.NewScanner(f); lines.Scan(); {
			if name, value, _ := strings.Cut(lines.Text(), ":"); strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	memory := ""
	if content, err := os.ReadFile("/proc/meminfo"); err == nil {
		var kib int
		if _, err := fmt.Sscanf(string(content), "MemTotal: %d kB", &kib); err == nil {
			memory = fmt.Sprintf(", %d GB", (kib+500_000)/1_000_000)
		}
	}
	system := runtime.GOOS
	if content, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		system += " " + strings.TrimSpace(string(content))
	}
	return fmt.Sprintf("%d CPUs (%s)%s, %s", runtime.NumCPU(), model, memory, system)
}

// commit says which one was measured.
func commit() string {
	git := func(args ...string) string {
		out, err := exec.Command("git", args...).Output()
		if err != nil {
			return ""
		}
		return strings.TrimSpace(string(out))
	}
	id := git("rev-parse", "--short=12", "HEAD")
	if id == "" {
		return "not known"
	}
	if git("status", "--porcelain", "--untracked-files=no") != "" {
		id += ", with changes"
	}
	return id
}
