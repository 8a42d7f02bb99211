package open

import (
	"context"

	"github.com/quorate/quorate/backend/driver"
)

// owner is a driver that owns its client.
type owner struct {
	driver.Driver
	closeClient func()
}

// withClient returns d as an owner, with the optional interfaces that d has: a Store
// asks for those.
func withClient(d driver.Driver, closeClient func()) driver.Driver {
	o := owner{d, closeClient}
	timed, isTimed := d.(driver.Timed)
	paced, isPaced := d.(driver.Paced)
	switch {
	case isTimed && isPaced:
		return struct {
			owner
			driver.Timed
			driver.Paced
		}{o, timed, paced}
	case isTimed:
		return struct {
			owner
			driver.Timed
		}{o, timed}
	case isPaced:
		return struct {
			owner
			driver.Paced
		}{o, paced}
	}
	return o
}

// Close closes the driver and then its client. Closing the client ends what is
// left of a call that did not return in time.
func (o owner) Close(ctx context.Context) error {
	defer o.closeClient()
	return o.Driver.Close(ctx)
}
