// Package office is the protocol that elections and locks share: one queue of
// candidates, and an office of one or more seats, each with one holder at a time
// and a number that grows from holder to holder. docs/elections.md explains it;
// integration/model searches it.
//
// A candidate is next in the order of creation of its queue entry: see decide
// and queueOf, the only places that know the order.
package office
