module github.com/quorate/quorate

go 1.25.0

require github.com/cenkalti/backoff/v4 v4.2.1
