//go:build !race

package seeds

// raceDetector reports whether the race detector is on.
const raceDetector = false
