module github.com/quorate/quorate/backend/postgres

go 1.25.0

require (
	github.com/jackc/pgx/v5 v5.12.0
	github.com/quorate/quorate v0.1.0
)
