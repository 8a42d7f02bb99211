package cluster

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
)

// Ports come from below the range that kernels take outgoing connections'
// ports from: a server that is killed finds its port free when it starts
// again. Test processes that run at the same time divide that range by file
// locks, which go with the process that holds them.
const (
	firstPort = 10240
	lastPort  = 32000
	portBlock = 32
)

var ports portPool

type portPool struct {
	mu   sync.Mutex
	free []int
	// locks keeps the block locks from being collected, and so released.
	locks []*os.File
}

// take returns n free ports of this process. The one that was given back
// longest ago comes first.
func (p *portPool) take(n int) ([]int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var taken []int
	for len(taken) < n {
		if len(p.free) == 0 {
			if err := p.grow(); err != nil {
				p.free = append(p.free, taken...)
				return nil, err
			}
		}
		port := p.free[0]
		p.free = p.free[1:]
		if !portFree(port) {
			continue // Somebody who does not take part; never offered again.
		}
		taken = append(taken, port)
	}
	return taken, nil
}

// give returns ports that nothing of ours listens on any more.
func (p *portPool) give(ports ...int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = append(p.free, ports...)
}

// grow takes another block.
func (p *portPool) grow() error {
	dir, err := sharedDir(os.TempDir(), "ports")
	if err != nil {
		return err
	}
	blocks := (lastPort - firstPort) / portBlock
	for _, block := range rand.Perm(blocks) {
		first := firstPort + block*portBlock
		file, err := lockFile(filepath.Join(dir, strconv.Itoa(first)), false)
		if errors.Is(err, syscall.EWOULDBLOCK) {
			continue
		} else if err != nil {
			return fmt.Errorf("reserving ports: %w", err)
		}
		p.locks = append(p.locks, file)
		for port := range portBlock {
			p.free = append(p.free, first+port)
		}
		return nil
	}
	return fmt.Errorf("no ports left between %d and %d", firstPort, lastPort)
}

func portFree(port int) bool {
	listener, err := net.Listen("tcp", hostPort(port))
	if err != nil {
		return false
	}
	packets, err := net.ListenPacket("udp", hostPort(port)) // Consul's gossip.
	if err != nil {
		return errors.Is(listener.Close(), net.ErrClosed)
	}
	return errors.Join(listener.Close(), packets.Close()) == nil
}

func hostPort(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
