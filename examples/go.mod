module github.com/quorate/quorate/examples

go 1.26.0

require (
	github.com/quorate/quorate v0.1.0
	github.com/quorate/quorate/backend/etcd v0.1.0
)
