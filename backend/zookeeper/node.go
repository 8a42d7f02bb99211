package zookeeper

import (
	"math"
	"strings"

	"github.com/go-zookeeper/zk"

	"github.com/quorate/quorate/backend/driver"
)

// mark is the first byte of the data of every node that is a key; the rest is
// the value. A parent that had to be made has no data. What somebody else put
// there, without the mark, is no key either.
const mark = '='

// nodePath is where a key or a directory lies.
func nodePath(path string) string { return "/" + path }

// parents returns the nodes above a key, from the top down.
func parents(key string) []string {
	var all []string
	for i := range len(key) {
		if key[i] == '/' {
			all = append(all, nodePath(key[:i]))
		}
	}
	return all
}

func dataOf(value []byte) []byte { return append([]byte{mark}, value...) }

// toEntry returns what a node shows, if it is a key.
func toEntry(path string, data []byte, stat *zk.Stat, generation uint64) (driver.Entry, bool) {
	if len(data) == 0 || data[0] != mark {
		return driver.Entry{}, false
	}
	e := driver.Entry{
		Key: strings.TrimPrefix(path, "/"), Value: data[1:],
		Created: uint64(stat.Czxid), Modified: uint64(stat.Mzxid),
		Version: toVersion(stat.Version, generation),
	}
	if stat.EphemeralOwner != 0 {
		e.Lease = leaseID(stat.EphemeralOwner)
	}
	return e, true
}

// toVersion numbers versions from 1, which is ZooKeeper's 0: so no version of
// ours has the number 0, and none ZooKeeper's -1, which to it means any.
func toVersion(version int32, generation uint64) driver.Version {
	return driver.Version{Generation: generation, Number: uint64(uint32(version)) + 1}
}

// ofVersion returns what ZooKeeper is to compare, and false if nothing can
// have this version. It is never -1.
func ofVersion(v driver.Version) (int32, bool) {
	if v.Number == 0 || v.Number > math.MaxUint32 {
		return 0, false
	}
	return int32(uint32(v.Number - 1)), true
}
