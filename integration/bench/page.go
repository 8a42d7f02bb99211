package bench

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// progress prints what came of a row in short.
func (r *Report) progress(o outcome) {
	out := r.config.Progress
	for _, l := range o.lines {
		fmt.Fprintf(out, "  %s: ours %s, peer %s, to peer %s, floor %s, to floor %s\n", l.what,
			l.unit.show(l.ours), l.unit.show(l.peer), ratios(toPeer(&l)), l.unit.show(l.floor), ratios(toFloor(&l)))
		for _, g := range l.goals {
			text, _ := g.verdict(&l, o.store)
			fmt.Fprintf(out, "    %s\n", text)
		}
	}
	if o.err != nil {
		fmt.Fprintf(out, "  FAILED: %v\n", o.err)
	}
	fmt.Fprintf(out, "  took %v\n", o.took.Round(100*time.Millisecond))
}

// Page is the report as docs/benchmarks.md.
func (r *Report) Page() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Benchmarks\n\nWritten by `make bench`; do not edit. Reasons stand beside the rows in `integration/bench`.\n\n")
	fmt.Fprintf(&b, "| | |\n| --- | --- |\n")
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
	b.WriteString(`
Ours, the peer's and the floor's take turns, on the same cluster and the same machine. Each is the median, and behind the
stroke the 99th percentile (of fewer than a hundred figures the worst). A ratio is taken pair by pair: the median, and in
brackets the spread, which is where the middle four fifths lie. The floor is what the store takes for the least that could
be done.
`)
	for _, row := range rows {
		r.section(&b, row)
	}
	return b.String()
}

func (r *Report) section(b *strings.Builder, row row) {
	header := false
	for _, o := range r.outcomes {
		if o.row.name != row.name {
			continue
		}
		if !header {
			fmt.Fprintf(b, "\n## %s\n\n%s\n", row.title, row.about)
			header = true
		}
		fmt.Fprintf(b, "\n### %s: %s\n\n", row.title, o.store)
		if o.err != nil {
			fmt.Fprintf(b, "**Failed**: %s\n\n", cell(o.err.Error()))
		}
		if len(o.lines) == 0 {
			continue
		}
		fmt.Fprintf(b, "| | ours | peer | ours / peer | floor | ours / floor | goal |\n| --- | --- | --- | --- | --- | --- | --- |\n")
		for _, l := range o.lines {
			fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s | %s |\n", l.what, l.unit.show(l.ours),
				named(l.unit.show(l.peer), l.peerName(o)), ratios(toPeer(&l)),
				named(l.unit.show(l.floor), l.floorIs), ratios(toFloor(&l)), l.verdicts(o.store))
		}
	}
}

// peerName names what the peer's figures are of.
func (l *line) peerName(o outcome) string {
	switch {
	case l.peerIs != "":
		return l.peerIs
	case o.row.name == "counter":
		return recipe[o.store].counter
	default:
		return recipe[o.store].election
	}
}

func named(figures, name string) string {
	if figures == "-" || name == "" {
		return figures
	}
	return figures + " (" + name + ")"
}

func (l *line) verdicts(store string) string {
	if len(l.goals) == 0 {
		return "-"
	}
	var all []string
	for _, g := range l.goals {
		text, _ := g.verdict(l, store)
		all = append(all, text)
	}
	return cell(strings.Join(all, "<br>"))
}

// cell fits text into a table's cell.
func cell(text string) string {
	return strings.ReplaceAll(strings.ReplaceAll(text, "|", "\\|"), "\n", " ")
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
