// Package cluster starts real etcd, Consul and ZooKeeper clusters for tests.
package cluster
