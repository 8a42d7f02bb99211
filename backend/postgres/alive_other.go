//go:build !unix || aix

package postgres

import "net"

// alive cannot tell here, so a statement may be sent into a dead connection.
func alive(net.Conn) bool { return true }
