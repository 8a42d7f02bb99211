// Package schedule runs a job once per tick, in whichever process leads.
//
//	nightly, err := cron.ParseStandard("0 2 * * *") // github.com/robfig/cron/v3, or schedule.Every(time.Hour)
//	if err != nil {
//		return err
//	}
//	s, err := schedule.New(store, "billing/nightly", nightly, nil)
//	if err != nil {
//		return err
//	}
//	return s.Run(ctx, func(ctx context.Context, tick schedule.Tick) error {
//		return bill(ctx, tick.Time, tick.Term)
//	})
//
// It is an election and a checkpoint: the leader saves each tick before its job
// runs, guarded by its leadership, and the next leader continues there.
//
// # Guarantees
//
// The job of a tick is begun at most once, by all processes together, whatever
// crashes and however often the leader changes. With Options.AtLeastOnce it is
// run again if it was begun and is not known to have returned. The next leader
// runs it, which may be the same process.
//
// Jobs run one at a time, in the order of their ticks. The context of a job ends
// when the leadership does, before another process can lead. A job has to return
// then. See package election for what no context covers, and fence with Tick.Term
// or Tick.Guard what must not be written by a leader of the past.
//
// # Missed ticks
//
// A tick is missed if its time passes while no process leads, or while a job of
// an earlier tick runs. Options.Missed says whether the latest of those that were
// missed is made up for (the default), or all, or none. The ticks begin when a
// schedule of the name runs for the first time.
//
// # Mistakes to avoid
//
// Do not let a job run much longer than its leadership: the next leader waits for
// the session of a process whose job does not return.
//
// A job that returns an error has run. The error is in the log and the trace, and
// the next tick is waited for. Retry inside the job what should be tried again.
//
// Keep clocks within the time between two ticks of each other. A leader whose
// clock is ahead runs ticks early, and the next one waits until its own clock has
// come to the tick after; the log says so.
//
// # Failures
//
//	leader crashes, or is cut off   another continues after a TTL; see package
//	                                election
//	crash between save and job      at most once: the tick is not run. At least
//	                                once: the next leader runs it
//	crash during a job              at most once: it stays half done. At least
//	                                once: the next leader runs it again
//	store unavailable               a job continues within the trust window; no tick
//	                                begins that cannot be saved; it is missed
//	job fails                       it is logged and traced; the next tick comes
//	job panics                      the leader resigns, and the panic continues
//	clock is set                    the leader notices within 10 s
//	store restored from a backup    ticks since the backup are missed ones, though
//	                                they were run; with Skip they are not run again
//
// # Costs
//
// A tick is one commit, with AtLeastOnce two. Between two ticks there is no
// traffic beyond the session's.
package schedule
