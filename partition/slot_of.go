package partition

import (
	"crypto/sha256"
	"encoding/binary"
)

// SlotOf returns the slot that a key belongs to, of a number of slots: the
// first eight bytes of the key's SHA-256, as a big-endian number, modulo slots.
// It never changes, so that data that was written by slot is found again, and
// other languages can compute it.
//
// It panics if slots is not positive.
func SlotOf(key string, slots int) int {
	if slots <= 0 {
		panic("partition: SlotOf with no slots")
	}
	sum := sha256.Sum256([]byte(key))
	return int(binary.BigEndian.Uint64(sum[:8]) % uint64(slots))
}
