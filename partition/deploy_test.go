package partition

import "testing"

func TestCompareVersions(t *testing.T) {
	ordered := []string{"", "1.9", "1.10", "1.10.1", "2", "2024-09-30", "2024-10-01", "v1.9.0", "v1.9.1", "v1.10.0"}
	for i, v := range ordered {
		for j, w := range ordered {
			if got := compareVersions(v, w); (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("compareVersions(%q, %q) = %d", v, w, got)
			}
		}
	}
	if compareVersions("v01", "v1") != 0 {
		t.Error("v01 and v1 differ")
	}
}
