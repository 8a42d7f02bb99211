// Package postgres is the adapter for PostgreSQL.
package postgres
