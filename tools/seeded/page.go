package main

import (
	"bytes"
	"fmt"
	"strings"
)

// document is the page on the bugs.
func document(all []bug) []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, `# Seeded bugs

Do the tests notice when a guarantee is broken? `+"`make seeded`"+` puts each of these %d bugs, most of them known from the
field, into a copy of the tree. It fails unless the tests named here fail then, and pass without the bug. This page is
written by `+"`bin/seeded -docs`"+` from the patches in [tools/seeded/bugs](../tools/seeded/bugs). The guarantees are those of
[guarantees.md](guarantees.md).

| Bug | Effect | Guarantee that it breaks | Caught by |
| --- | --- | --- | --- |
`, len(all))
	cell := strings.NewReplacer("|", "\\|")
	for _, b := range all {
		fields := strings.Fields(b.command)
		where := strings.TrimPrefix(fields[len(fields)-1], "./")
		if fields[2] == "-C" {
			where = strings.TrimSuffix(fields[3]+"/"+where, "/.")
		}
		fmt.Fprintf(&out, "| [%s](../%s/%s.patch) | %s | %s | `%s` %s |\n",
			b.name, bugs, b.name, cell.Replace(b.what), cell.Replace(b.breaks), where, strings.Join(b.fails, ", "))
	}
	return out.Bytes()
}
