// Package drivertest is the conformance suite for [driver.Driver]: a subtest
// for each clause of the contract. It uses the standard library only, so that
// the author of a driver can run it without Quorate's own test servers.
//
// [driver.Driver]: https://pkg.go.dev/github.com/quorate/quorate/backend/driver#Driver
package drivertest
