package membership_test

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/memory"
	"github.com/quorate/quorate/membership"
)

// Two processes of a service know each other.
func ExampleGroup_Join() {
	ctx := context.Background()
	server := memory.NewServer() // the store that both processes share
	join := func(id, addr string) (*membership.Group, *membership.Registration) {
		store, err := memory.Open(server, nil) // etcd.New(client, nil), say
		if err != nil {
			log.Fatal(err)
		}
		group, err := membership.New(store, "workers", nil)
		if err != nil {
			log.Fatal(err)
		}
		reg, err := group.Join(ctx, membership.Member{ID: id, Addr: addr})
		if err != nil {
			log.Fatal(err)
		}
		return group, reg
	}
	group, first := join("pod-1", "10.0.0.1:80")
	defer group.Close()
	other, second := join("pod-2", "10.0.0.2:80")
	defer other.Close()

	for view, err := range group.Watch(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		if len(view.Members) == 2 {
			for _, m := range view.Members {
				fmt.Println(m.ID, "is at", m.Addr)
			}
			if err := second.Leave(ctx); err != nil {
				log.Fatal(err)
			}
		}
		if len(view.Change.Removed) > 0 {
			fmt.Println(view.Change.Removed[0].ID, "has left")
			break
		}
	}
	fmt.Println("and", first.ID(), "is a member still:", first.Context().Err() == nil)
	// Output:
	// pod-1 is at 10.0.0.1:80
	// pod-2 is at 10.0.0.2:80
	// pod-2 has left
	// and pod-1 is a member still: true
}

// A cache spread over the members: each key is kept by two of them. All who see
// the same members agree, and when one comes or goes only its keys move.
func ExampleView_Choose() {
	view := membership.View{Members: []membership.Member{{ID: "pod-1"}, {ID: "pod-2"}, {ID: "pod-3"}}}
	for _, key := range []string{"user/42", "user/43"} {
		for _, m := range view.Choose(key, 2) {
			fmt.Println(key, "is kept by", m.ID)
		}
	}
	// Output:
	// user/42 is kept by pod-1
	// user/42 is kept by pod-3
	// user/43 is kept by pod-1
	// user/43 is kept by pod-3
}

// A process that is restarted while the store is away knows the last members.
func ExampleOptions_snapshotFile() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	server := memory.NewServer()
	start := func() (*backend.Store, *membership.Group) {
		store, err := memory.Open(server, nil)
		if err != nil {
			log.Fatal(err)
		}
		group, err := membership.New(store, "workers", &membership.Options{SnapshotFile: filepath.Join(dir, "peers")})
		if err != nil {
			log.Fatal(err)
		}
		return store, group
	}
	store, group := start()
	if _, err := group.Join(ctx, membership.Member{ID: "pod-1"}); err != nil {
		log.Fatal(err)
	}
	for saved := []byte(nil); !bytes.Contains(saved, []byte("pod-1")); <-time.After(10 * time.Millisecond) {
		saved, _ = os.ReadFile(filepath.Join(dir, "peers")) // written within a second
	}

	server.SetDown(true)
	_ = store.Close() // the error says that the session could not be revoked
	store, group = start()
	defer store.Close()
	view := group.View()
	_, known := view.Lookup("pod-1")
	fmt.Printf("pod-1 is known: %t, synced: %t, stale: %t\n", known, view.Synced, view.Stale)
	// Output:
	// pod-1 is known: true, synced: false, stale: true
}
