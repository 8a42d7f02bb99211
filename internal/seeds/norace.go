//go:build !race

package seeds

// RaceDetector reports whether the race detector is on.
const RaceDetector = false
