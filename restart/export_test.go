package restart

// RunUntil is Run with signals of the test's own.
var RunUntil = runUntil
