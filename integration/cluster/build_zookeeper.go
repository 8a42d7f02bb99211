package cluster

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// Where the Debian package puts its library, and the logger that we add so
// that a server that fails can say why.
const (
	zookeeperJar = "/usr/share/java/zookeeper.jar"
	loggerJar    = "/usr/share/java/slf4j-simple.jar"
)

// ZooKeeperClassPath returns the class path of ZooKeeper: what
// QUORATE_ZOOKEEPER_CLASSPATH says, or the Debian package's. It fails if that
// or java is not installed; cmd/servers installs them.
func ZooKeeperClassPath() (string, error) {
	if _, err := exec.LookPath("java"); err != nil {
		return "", fmt.Errorf("ZooKeeper needs java: %w", err)
	}
	if path := os.Getenv("QUORATE_ZOOKEEPER_CLASSPATH"); path != "" {
		return path, nil
	}
	if _, err := os.Stat(zookeeperJar); err != nil {
		return "", fmt.Errorf("ZooKeeper is not installed (make servers does that): %w", err)
	}
	return strings.Join([]string{zookeeperJar, loggerJar}, ":"), nil
}
