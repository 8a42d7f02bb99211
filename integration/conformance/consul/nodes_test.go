package consul_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/quorate/quorate/backend/consul"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/integration/conformance"
)

// consulNodeDeregistered: when the node that a session hangs on leaves the
// catalog, which a client agent does when it is told to stop, the session and
// its keys go at once, whatever the TTL. The driver says so.
func consulNodeDeregistered(t *testing.T, rig *consulRig) {
	admin := rig.admin(t)
	consulRegister(t, admin, "agent-to-go")
	p := rig.peerOn(t, rig.leader(t), &consul.Options{Node: "agent-to-go"}, nil)
	lease := conformance.MustGrant(t, p.driver, time.Minute)
	key := rig.dir() + "/a"
	conformance.MustApply(t, p.driver, lease.ID(), driver.CreateEphemeral(key, nil))
	_, err := admin.Catalog().Deregister(&api.CatalogDeregistration{Node: "agent-to-go"}, nil)
	conformance.Must(t, err)
	if all := conformance.MustRead(t, p.driver, driver.Key(key)); len(all) != 0 {
		t.Errorf("the key outlived its node: %v", all)
	}
	if _, err := lease.Renew(t.Context()); !errors.Is(err, driver.ErrSessionLost) {
		t.Errorf("Renew = %v, want ErrSessionLost", err)
	}
}

// consulOwnNode: a session on a node of its own does not mind what becomes of
// the agent's.
func consulOwnNode(t *testing.T, rig *consulRig) {
	admin := rig.admin(t)
	consulRegister(t, admin, "agent-of-today")
	consulRegister(t, admin, "quorate")
	d := rig.peerOn(t, rig.leader(t), &consul.Options{Node: "quorate"}, nil).driver
	lease := conformance.MustGrant(t, d, time.Minute)
	key := rig.dir() + "/a"
	conformance.MustApply(t, d, lease.ID(), driver.CreateEphemeral(key, nil))
	_, err := admin.Catalog().Deregister(&api.CatalogDeregistration{Node: "agent-of-today"}, nil)
	conformance.Must(t, err)
	if _, err := lease.Renew(t.Context()); err != nil {
		t.Errorf("Renew = %v", err)
	}
	session, _, err := admin.Session().Info(lease.ID(), nil)
	conformance.Must(t, err)
	if session.Node != "quorate" || len(session.NodeChecks) != 0 || len(session.ServiceChecks) != 0 {
		t.Errorf("the session is %+v; want it on its own node, without checks", session)
	}
	if all := conformance.MustRead(t, d, driver.Key(key)); len(all) != 1 {
		t.Errorf("the key went: %v", all)
	}
}

func consulNodeUnknown(t *testing.T, rig *consulRig) {
	d := rig.peerOn(t, rig.leader(t), &consul.Options{Node: "nobody"}, nil).driver
	if _, err := d.Grant(t.Context(), time.Minute); !errors.Is(err, driver.ErrInvalid) || !strings.Contains(err.Error(), `"nobody"`) {
		t.Errorf("Grant on a node that is not registered = %v; want ErrInvalid, with its name", err)
	}
}

// consulRegister registers a node of the catalog, as doc.go says.
func consulRegister(t testing.TB, admin *api.Client, name string) {
	t.Helper()
	_, err := admin.Catalog().Register(&api.CatalogRegistration{Node: name, Address: "127.0.0.1"}, nil)
	conformance.Must(t, err)
}
