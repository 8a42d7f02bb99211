module github.com/quorate/quorate/backend/zookeeper

go 1.25.0

require (
	github.com/go-zookeeper/zk v1.0.3
	github.com/quorate/quorate v0.1.0
)
