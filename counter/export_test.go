package counter

// SetEntries lowers the limit of entries in the documents that c writes, so
// that entries are pushed out.
func SetEntries(c *Counter, limit int) { c.limit = limit }

// SetTallyEntries does the same for a Tally's shard.
func SetTallyEntries(t *Tally, limit int) { t.shard.limit = limit }

// MaxEntries is what limits them otherwise.
const MaxEntries = maxEntries
