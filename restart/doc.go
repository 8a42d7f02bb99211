// Package restart is for services that are often killed and started again: they
// drain on a signal, start in any order, and continue their work after a crash.
//
//	restart.Main(func(ctx context.Context) error { // ctx ends on SIGTERM
//		progress, err := restart.NewCheckpoint[int](store, "import", nil)
//		if err != nil {
//			return err
//		}
//		next, err := progress.Claim(ctx) // continues where the last process was
//		if err != nil {
//			return err
//		}
//		for ; ; next++ {
//			if err := importBatch(ctx, next); err != nil {
//				return err
//			}
//			if err := progress.Save(ctx, next+1); err != nil {
//				return err
//			}
//		}
//	}, &restart.Options{Close: []io.Closer{store}})
//
// [Main] wraps a process's work: it turns a signal into a drain, and the outcome
// into an exit code. [Run] is the same without os.Exit. [Supervise] restarts a
// part of the work inside the process. [Await] waits for dependencies. [Health]
// answers the probes of an orchestrator. [Checkpoint] keeps the work's progress
// in the store.
//
// # Guarantees
//
// [Checkpoint.Claim] returns the value that was saved last. Once it has claimed,
// the store refuses every save of an earlier owner, also one that is still under
// way. No save is stored twice, or over a later one.
//
// On a signal readiness goes off at once, and the work's context ends after
// ReadyDelay. The Stores are closed only after the work has returned. So the next
// owner starts at once, and never beside this one.
//
// Neither liveness nor readiness fails because the store is unavailable. An outage
// of the store must not restart all processes.
//
// # Mistakes to avoid
//
// Give the process a grace period above ReadyDelay + DrainTimeout + CloseTimeout:
// Kubernetes' terminationGracePeriodSeconds, Docker's stop_grace_period,
// systemd's TimeoutStopSec, Marathon's taskKillGracePeriodSeconds.
//
// Work after the last acknowledged save is repeated after a crash. So its effects
// must be idempotent, or be guarded commits to the same store.
//
// Do not make readiness depend on leadership: a rolling update would hang.
//
// A Checkpoint is not owned for a time. Pass the guard of an election or a slot to
// Claim, so that only the owner can claim and save.
//
// # Calls that wait
//
// Main and Run block until the work has returned. Claim, Save and Await wait
// through outages until their context ends. docs/calls.md has all calls.
//
// # Exit codes
//
//	0 ExitClean        the work ended without an error, or as it was told to
//	1 ExitFailed       the work returned an error, or panicked; or bad options
//	2                  the Go runtime's, for a panic in another goroutine
//	3 ExitOverran      the work had not ended DrainTimeout after it was told to
//	4 ExitGaveUp       Supervise gave up: start the process afresh, perhaps
//	                   elsewhere
//	5 ExitInterrupted  a second signal came
//
// # Failures
//
//	the work panics                an error with its stack; exit code 1, or
//	                               Supervise restarts it
//	it fails again and again       Supervise gives up, exit code 4
//	it does not stop               exit code 3 after DrainTimeout; its keys stay
//	                               until the TTL has passed
//	a dependency is missing        Await waits, and logs which
//	store unavailable              the primitives wait; no probe fails
//	process killed                 the next process claims the Checkpoint, and gets
//	                               the value last acknowledged, or one whose save
//	                               was in doubt
//	two workers at once            the later Claim wins; the other's saves are
//	                               ErrFenced. For effects elsewhere use the
//	                               guard's token
//	reply to a Save lost           it is settled by reading
//	store restored from a backup   work since the backup is done again
//
// A restart cures much, and can itself do harm. So Supervise waits longer each
// time, with full jitter, and has a budget. When the budget is spent it gives up,
// Run exits with a code of its own, and the orchestrator's delays apply.
//
// # Costs
//
// A Claim is a read and a commit, a Save is a commit. A lost reply costs one more
// read. Nothing else here uses the store.
//
// # States of a process under Run
//
//	           signal, or ctx ends        ReadyDelay          work joined
//	(working) ---------------------> (lame) -------> (draining) ------> (closing) ----> exit 0, 1, 4
//	    |                               |                 |                 |
//	    | work ends, fails, panics      | work ends       | DrainTimeout    |
//	    +-------------------------------+---> (closing)   +---> exit 3      |
//	                                    |                 |                 |
//	                                    +-----------------+-----------------+---> second signal: exit 5
//
// In the state lame the process is not ready and still works, since senders need
// time to notice. In draining the work's context has ended. In closing the work
// has returned and the Stores are closed.
//
// An explicit-state model searches the protocol of Checkpoint exhaustively, within
// small bounds.
package restart
