package membership

import (
	"cmp"
	"slices"
)

// Choose returns the n members that a key falls to, the first choice first;
// fewer if there are fewer. It is rendezvous hashing by ID: processes that see
// the same members choose the same. When a member comes or goes, only the keys
// that it takes or had move, evenly from or to all others. Held members count.
//
// Two processes may see different members for a while, so that both may take
// themselves for the first choice. Use it if that costs efficiency and no more:
// caches, routing, replicas of data that is stored elsewhere too. If a key must
// have one owner at a time, use package partition and its Owner.
//
// The choice is stable: it is the same in all versions and on all machines. For
// each member it takes the 64-bit FNV-1a hash of the ID, a zero byte and the
// key. It mixes the hash by the finalizer of MurmurHash3, and orders the
// members from the highest, ties by ID.
func (v View) Choose(key string, n int) []Member {
	type choice struct {
		weight uint64
		i      int
	}
	all := make([]choice, len(v.Members))
	for i := range v.Members {
		all[i] = choice{weight(v.Members[i].ID, key), i}
	}
	slices.SortFunc(all, func(a, b choice) int {
		return cmp.Or(cmp.Compare(b.weight, a.weight), cmp.Compare(a.i, b.i))
	})
	all = all[:min(max(n, 0), len(all))]
	chosen := make([]Member, len(all))
	for i, c := range all {
		chosen[i] = v.Members[c.i]
	}
	return chosen
}

func weight(id, key string) uint64 {
	h := uint64(14695981039346656037)
	add := func(s string) {
		for i := range len(s) {
			h = (h ^ uint64(s[i])) * 1099511628211
		}
	}
	add(id)
	add("\x00")
	add(key)
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
