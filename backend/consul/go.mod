module github.com/quorate/quorate/backend/consul

go 1.25.0

require github.com/quorate/quorate v0.1.0
