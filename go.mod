module github.com/quorate/quorate

go 1.25.0
