package zookeeper

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/go-zookeeper/zk"

	"github.com/quorate/quorate/backend/driver"
)

// checkAddresses checks the servers' addresses and completes those without a
// port. One that is given twice counts once.
func checkAddresses(servers []string) ([]string, error) {
	if len(servers) == 0 {
		return nil, fmt.Errorf("%w: no ZooKeeper server is named", driver.ErrInvalid)
	}
	var full []string
	for _, server := range servers {
		address, err := checkAddress(server)
		if err != nil {
			return nil, fmt.Errorf("%w: the ZooKeeper server %q: %w", driver.ErrInvalid, server, err)
		}
		if !slices.Contains(full, address) {
			full = append(full, address)
		}
	}
	return full, nil
}

func checkAddress(server string) (string, error) {
	switch {
	case strings.Contains(server, "://"):
		return "", fmt.Errorf("an address is host:port, without a scheme")
	case strings.Contains(server, ","):
		return "", fmt.Errorf("each server is an element of its own, not a part of a list with commas")
	case strings.Contains(server, "/"):
		return "", fmt.Errorf("an address has no chroot; backend.Options.Namespace says where the keys are, as in %q", "app/quorate")
	}
	host, port := server, strconv.Itoa(zk.DefaultPort)
	if addr, err := netip.ParseAddr(server); err == nil && addr.Is6() {
		return net.JoinHostPort(host, port), nil
	}
	if strings.Contains(server, ":") {
		var err error
		if host, port, err = net.SplitHostPort(server); err != nil {
			return "", fmt.Errorf("it is not host:port; an IPv6 address with a port is in brackets")
		}
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", fmt.Errorf("the port %q is not a number from 1 to 65535", port)
	}
	if strings.Contains(host, ":") || strings.HasPrefix(server, "[") {
		if addr, err := netip.ParseAddr(host); err != nil || !addr.Is6() {
			return "", fmt.Errorf("%q is not an IPv6 address", host)
		}
	} else if !isHost(host) {
		return "", fmt.Errorf("%q is neither a host's name nor an IP address", host)
	}
	return net.JoinHostPort(host, port), nil
}

// isHost reports whether host may be a name or an IPv4 address: labels of
// letters, digits, "-" and "_", joined by dots.
func isHost(host string) bool {
	if host == "" || len(host) > 253 {
		return false
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(host, "."), ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
				return false
			}
		}
	}
	return true
}
