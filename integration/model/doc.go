// Package model has small models of the protocols, searched state by state:
// every interleaving of a few processes, of the arrival of their commits, and
// of a few faults. Each is written to be read beside the code that it models;
// its first comment says which function of the library each of its rules is.
//
// A model is a state, the steps that can be taken from it (Protocol.Next), and
// the sentences that have to hold in each state: rows of docs/guarantees.md.
// What a sentence needs to remember that no step looks at is a ghost. That all
// comes right again is asked of every state too: a good one must be reachable
// from it by steps that are no faults (Protocol.Good).
//
// The store is that of the driver contract (backend/driver):
//
//   - A commit is sent by one step and reaches the store by another, or never.
//     Its sender may give up waiting for it at any time; the commit may then
//     land at any later time, as long as its conditions hold.
//   - Versions are the worst of the three stores where nothing else is said:
//     small numbers that begin anew with each key, so that they can come back
//     (C12).
//   - A lease may end at any time once its holder's trust has, and never before,
//     unless the fault says so.
//
// Faults have budgets: a configuration says how many of each there may be.
// Within these bounds a search visits everything, and "holds, complete" says
// so. A search that was cut off never counts as one that holds.
//
// A mutant is a model with one rule left out or bent; the same configuration is
// searched whole too, and has to hold. If none of the sentences broke in the
// mutant, either the rule would not be needed or the model would not see
// what it is for. A limit is the protocol as it is, under what the documentation
// says it does not withstand.
//
// Bounds that no configuration goes beyond: three candidates, each in a process of
// its own, and two seats; one slot, two processes, two registrations each; three counters. A
// read of several keys shows them one after the other, or all at one instant
// where the name of the case says so; the values of a list are of one instant.
//
// What the models do not cover: how long a TTL, a margin or a pause is (trust
// ends before the lease does, that is all they know); adds of one process that
// go out in one commit; the sharing of watches and reads, of which only the
// outcome is modelled; formats; limits on how many marks or operations a commit
// may have; and what a store does wrong by itself, save where a fault stands
// for it. These have tests of their own, on real stores: docs/guarantees.md.
//
// `make model` runs all cases and prints a table; the short ones are ordinary
// tests.
package model
