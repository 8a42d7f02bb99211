// Package backend is what the primitives stand on: a [Store] over any driver,
// with one shared session, its trust window, shared watches, bounded calls and
// guarded commits.
package backend
