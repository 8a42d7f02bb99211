package cluster

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// zookeeperJar is where the Debian package puts its library.
const zookeeperJar = "/usr/share/java/zookeeper.jar"

// moreJars are what it needs besides, installed with it: a logger, so that a
// server that fails can say why, and those parts of netty that TLS needs and
// the library's manifest forgets.
var moreJars = []string{
	"/usr/share/java/slf4j-simple.jar",
	"/usr/share/java/netty-codec.jar",
	"/usr/share/java/netty-resolver.jar",
	"/usr/share/java/netty-transport-native-unix-common.jar",
}

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
	return strings.Join(append([]string{zookeeperJar}, moreJars...), ":"), nil
}
