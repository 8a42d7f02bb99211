package schedule_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/schedule"
)

// A job runs once per tick, in whichever process leads.
func Example() {
	store, err := memory.New(nil) // a service has etcd here, or another store
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	s, err := schedule.New(store, "billing/nightly", schedule.Every(20*time.Millisecond), nil)
	if err != nil {
		log.Fatal(err)
	}
	enough := errors.New("enough")
	ctx, end := context.WithCancelCause(context.Background())
	jobs := 0
	err = s.Run(ctx, func(_ context.Context, tick schedule.Tick) error {
		jobs++
		fmt.Println("job", jobs, "on a tick:", tick.Time.Equal(tick.Time.Truncate(20*time.Millisecond)))
		if jobs == 3 {
			end(enough)
		}
		return nil
	})
	fmt.Println("ended:", errors.Is(err, enough))
	// Output:
	// job 1 on a tick: true
	// job 2 on a tick: true
	// job 3 on a tick: true
	// ended: true
}
