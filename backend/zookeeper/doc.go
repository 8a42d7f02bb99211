// Package zookeeper stands Quorate on Apache ZooKeeper.
package zookeeper
