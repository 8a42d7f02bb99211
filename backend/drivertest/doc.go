// Package drivertest is the conformance suite for [driver.Driver]: a subtest
// for each clause of the contract. It uses only the standard library, so that
// the author of a driver can run it without Quorate's own test servers.
//
//	func TestDriver(t *testing.T) {
//		drivertest.Run(t, newEnvironment) // see Env
//	}
//
// [driver.Driver]: https://pkg.go.dev/github.com/quorate/quorate/backend/driver#Driver
package drivertest
