package main

// overview shows three processes of a service on one store.
func overview() string {
	c := newCanvas(680, 240, "Three processes with Quorate share one store. One of them leads, the others wait.")
	for i, p := range []struct{ class, name, what string }{
		{"own", "process A", "leads, term 7"},
		{"box", "process B", "waits, is next"},
		{"box", "process C", "waits"},
	} {
		x := 20 + i*220
		c.box(p.class, x, 10, 200, 56, p.name, p.what)
		c.box("box", x, 66, 200, 34, "")
		c.text("small middle", x+100, 88, "Quorate, the store's client")
		c.arrow(x+100, 100, x+100, 168)
	}
	c.text("small soft", 130, 139, "one session, renewed")
	c.text("small soft", 350, 139, "one watch")
	c.text("small soft", 570, 139, "one watch")
	c.box("store", 20, 170, 640, 54, "etcd, Consul, ZooKeeper or PostgreSQL", "leader = A, term 7  ·  queue = B, C")
	return c.String()
}

// packages shows which package imports which.
func packages() string {
	c := newCanvas(920, 330, "Packages: primitives import backend, adapters implement backend/driver, and no primitive imports an adapter.")
	c.box("own", 20, 16, 150, 44, "route, partition")
	c.box("own", 20, 96, 150, 44, "membership")
	c.box("own", 190, 96, 110, 44, "election")
	c.box("own", 320, 96, 110, 44, "restart")
	c.box("own", 255, 16, 110, 44, "schedule")
	c.box("own", 450, 96, 120, 44, "lock")
	c.box("own", 590, 96, 120, 44, "counter")
	c.box("own", 730, 96, 150, 44, "quota, ids")
	c.box("box", 690, 16, 210, 44, "debug, bridge/...")
	c.arrow(95, 60, 95, 94)
	c.arrow(280, 60, 250, 94)
	c.arrow(340, 60, 370, 94)
	for _, x := range []int{95, 245, 375, 510, 650, 805} {
		c.arrow(x, 140, x, 178)
	}
	c.arrow(890, 60, 890, 178)
	c.box("box", 20, 180, 880, 50, "backend", "Store: session, trust window, watches, guarded commits, log and trace")
	c.arrow(180, 230, 180, 268)
	c.box("box", 20, 270, 320, 44, "backend/driver", "the contract, clauses C1 to C14")
	c.box("store", 400, 270, 300, 44, "adapters", "etcd, consul, zookeeper, postgres, memory")
	c.arrow(400, 292, 342, 292)
	c.arrow(550, 270, 550, 232)
	return c.String()
}

// trustWindow shows why a process stops before the store gives its keys away.
// 44 units are a second.
func trustWindow() string {
	const left, second = 130, 44
	at := func(tenths int) int { return left + tenths*second/10 }
	c := newCanvas(760, 330, "The trust window: it is counted from the start of a renewal and ends before the store's TTL.")
	c.text("strong", 20, 84, "process A")
	c.text("strong", 20, 184, "store")
	c.text("strong", 20, 264, "process B")

	c.box("own", at(0), 60, at(90)-at(0), 40, "A may act: the trust window (9 s)")
	c.box("risk", at(90), 60, at(100)-at(90), 40, "")
	c.text("small soft", at(100)+8, 85, "the margin (1 s)")
	c.box("store", at(4), 160, at(104)-at(4), 40, "the store keeps A's keys: the TTL (10 s)")
	c.box("own", at(108), 240, 740-at(108), 40, "B may act")

	c.arrow(at(0), 102, at(4), 158)
	c.arrow(at(4), 158, at(12), 102)
	c.arrow(at(104), 202, at(108), 238)
	c.line("dash", at(0), 40, at(0), 300)
	c.line("dash", at(90), 40, at(90), 300)
	c.line("dash", at(104), 140, at(104), 300)

	c.text("small soft middle", at(0), 32, "renewal starts")
	c.text("small soft", at(13), 128, "the reply; its delay does not prolong the window")
	c.text("small soft middle", at(90), 32, "A's context ends, by A's own clock")
	c.text("small soft middle", at(45), 316, "no contact between A and the store from here on")
	c.text("small soft middle", at(104), 316, "A's session expires")
	return c.String()
}
