package open

import (
	"testing"

	"github.com/quorate/quorate/backend/driver"
)

// TestOptionalInterfacesStay: a Store sees through the owner what a driver offers.
func TestOptionalInterfacesStay(t *testing.T) {
	for _, url := range []string{"etcd://a", "consul://a", "zookeeper://a", "postgres://a/db", "memory://"} {
		target, err := Parse(url)
		if err != nil {
			t.Fatal(err)
		}
		d, closeClient, err := schemes[target.scheme].open(target)
		if err != nil {
			t.Fatal(err)
		}
		o := withClient(d, closeClient)
		_, timed := d.(driver.Timed)
		_, stillTimed := o.(driver.Timed)
		_, paced := d.(driver.Paced)
		_, stillPaced := o.(driver.Paced)
		if timed != stillTimed || paced != stillPaced {
			t.Errorf("%s: timed %t, then %t; paced %t, then %t", url, timed, stillTimed, paced, stillPaced)
		}
		if err := o.Close(t.Context()); err != nil {
			t.Errorf("%s: Close: %v", url, err)
		}
	}
}
