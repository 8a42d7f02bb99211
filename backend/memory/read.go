package memory

import (
	"context"

	"github.com/quorate/quorate/backend/driver"
)

// Read implements driver.Driver. All targets are read at one instant.
func (d *Driver) Read(ctx context.Context, targets ...driver.Target) ([][]driver.Entry, error) {
	if err := driver.CheckTargets(targets...); err != nil {
		return nil, err
	}
	return call(ctx, d, reads, driver.ErrUnavailable, func() ([][]driver.Entry, error) {
		all := make([][]driver.Entry, len(targets))
		for i, target := range targets {
			all[i] = d.stamped(d.server.read(target))
		}
		return all, nil
	})
}

// stamped adds the driver's generation to what the server read.
func (d *Driver) stamped(entries []driver.Entry) []driver.Entry {
	for i := range entries {
		entries[i].Version.Generation = d.generation.Now()
	}
	return entries
}
