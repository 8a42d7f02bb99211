// Package restart is for services that are killed and started again as a matter
// of course: they stop in order when told to, start in any order, and carry on
// where they were.
//
// # Which function
//
// [Main] wraps a service's work: it turns a signal into a drain and an outcome
// into an exit code, so that whatever runs the process knows what to do. [Run]
// is the same without the os.Exit. [Supervise] restarts a part of the work
// inside the process, until that no longer helps. [Await] waits for what the
// work depends on, in whatever order things come up. [Health] is what the
// probes of an orchestrator ask. [Checkpoint] keeps the work's progress in the
// store, so that the next process begins where this one was acknowledged.
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
// Lame is not ready, and working still: whoever sends it requests needs time to
// hear of it. In draining the work's context has ended. In closing the stores
// are closed, so that peers see this process go at once; that comes only after
// the work was joined, since a closed store may give to others what it owned.
// A process that leaves without closing keeps what it owns until the TTL.
//
// Give the process a grace period of ReadyDelay + DrainTimeout + CloseTimeout at
// least: Kubernetes' terminationGracePeriodSeconds, Docker's stop_grace_period,
// systemd's TimeoutStopSec, Marathon's taskKillGracePeriodSeconds.
//
// # Exit codes
//
//	0 ExitClean        the work ended without an error, or as it was told to
//	1 ExitFailed       the work returned an error, or panicked; or bad options
//	2                  not ours: the Go runtime's, for a panic in a goroutine of
//	                   the work that nobody recovered
//	3 ExitOverran      the work had not ended DrainTimeout after it was told to
//	4 ExitGaveUp       Supervise gave up: restarting inside the process is no
//	                   longer a cure, start the process afresh, maybe elsewhere
//	5 ExitInterrupted  a second signal came
//
// # Failure of the failure handling
//
// A restart cures much and is itself a way to fail. So Supervise waits ever
// longer, with full jitter; it has a budget, and gives up upward when it is
// spent; Run makes that an exit code of its own, and then the orchestrator's
// policy, with its own delays, takes over. Neither liveness nor readiness
// fails because the store is down: a store's outage must not turn into a
// restart of the whole fleet.
//
// # What goes wrong, and what then
//
//	the work panics                   an error with its stack; exit code 1, or
//	                                  Supervise restarts it
//	it fails again and again          Supervise gives up, exit code 4
//	it does not stop when told to     exit code 3 after DrainTimeout; what it
//	                                  owned stays its own until the TTL
//	a dependency is not there yet     Await waits, and says for what
//	store down while working          the primitives wait; neither probe fails
//	process killed                    the next one claims the Checkpoint, and
//	                                  gets the value last acknowledged, or one
//	                                  whose save was in doubt
//	two workers at once               the later Claim wins, the Saves of the
//	                                  other are ErrFenced; for effects elsewhere
//	                                  use the guard's token, or make them
//	                                  idempotent
//	reply to a Save lost              it is settled by reading; nothing is ever
//	                                  stored twice, or over a later value
//	store restored from a backup      progress since the backup is done again:
//	                                  effects have to be idempotent anyway
//
// # The trust window
//
// Nothing here is owned for a time: a Checkpoint is fenced by the store at each
// Save. A guard given to Claim brings the trust window of the leadership it
// comes from; see backend.Session.
//
// The protocol of Checkpoint was searched exhaustively within small bounds by
// an explicit-state model.
package restart
