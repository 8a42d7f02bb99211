package partition

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/internal/assign"
	"github.com/quorate/quorate/membership"
)

// routerPause is the time after which a Router that the store refused watches
// again.
const routerPause = 2 * time.Second

// Owner is the answer of a Router: the member that the plan gives a slot to.
type Owner struct {
	Slot   int
	Token  uint64 // the slot's fencing token in the plan that the answer is from
	Member membership.Member
}

// same reports whether a request to either owner goes to the same place with the
// same token.
func (o Owner) same(other Owner) bool {
	return o.Slot == other.Slot && o.Token == other.Token &&
		o.Member.Registration == other.Member.Registration && o.Member.Addr == other.Member.Addr
}

// Router tells any process where the owner of a key is. The process need not be
// a member, and need not know the group's name or the number of slots: the plan
// has both.
//
//	router, err := partition.NewRouter(store, "queue")
//	if err != nil {
//		return err
//	}
//	defer router.Close()
//	if err := router.Wait(ctx); err != nil {
//		return err
//	}
//	if owner, ok := router.Owner("order/7"); ok {
//		err = send(ctx, owner.Member.Addr, owner.Slot, owner.Token)
//	}
//
// An answer can be out of date at once. The receiver must check the token; see
// package route.
//
// A Router watches the plan and the members. When the store is unavailable or
// refuses the watch, the Router keeps the last answers, and Age grows. After a
// refusal it watches again every 2 s. It costs the store two watches and the
// Store's session, shared with the Store's other users.
//
// Its methods may be called concurrently.
type Router struct {
	store *backend.Store
	name  string
	plan  string // the key

	now       atomic.Pointer[routes]
	life      context.Context // ends with a cause, by Close or with the Store
	end       context.CancelCauseFunc
	following sync.WaitGroup

	mu      sync.Mutex // guards the fields below
	watcher *backend.Watcher
	down    time.Time // since when the plan cannot be followed or read, zero if it can
	err     error     // why
	read    *plan
	group   *membership.Group
	leave   context.CancelFunc // ends the watch of group
	view    membership.View
}

// routes is a snapshot of a Router. It is never changed.
type routes struct {
	slots   []assign.Slot
	members []membership.Member // by index of slots; without an ID if not present
	synced  bool                // the plan and the members were read
	err     error               // why the plan cannot be followed
	changed chan struct{}       // closed when there is another snapshot
}

// NewRouter returns a Router for the partition called name, and begins to follow
// its plan. It does not wait for the store. Errors: backend.ErrInvalid,
// ErrClosed.
func NewRouter(store *backend.Store, name string) (*Router, error) {
	if store == nil {
		return nil, fmt.Errorf("router: %w: the store is nil", backend.ErrInvalid)
	}
	k, err := newKeys(name)
	if err == nil {
		err = store.CheckPath(k.plan)
	}
	if err != nil {
		return nil, fmt.Errorf("router: %w", err)
	}
	r := &Router{store: store, name: name, plan: k.plan}
	r.life, r.end = context.WithCancelCause(context.Background())
	r.now.Store(&routes{changed: make(chan struct{})})
	if r.watcher, err = store.Watch(backend.Key(r.plan)); err != nil {
		return nil, fmt.Errorf("router %q: %w", name, err)
	}
	r.following.Go(r.follow)
	return r, nil
}

// Name returns the name of the partition.
func (r *Router) Name() string { return r.name }

// Owner returns the owner of the slot of a key, as far as this process knows. It
// does no I/O, takes no lock and does not allocate. It returns false if the plan
// gives the slot to nobody, if the owner is not among the members, and before the
// plan and the members have been read.
func (r *Router) Owner(key string) (Owner, bool) { return r.now.Load().owner(key) }

func (now *routes) owner(key string) (Owner, bool) {
	if len(now.slots) == 0 {
		return Owner{}, false
	}
	k := SlotOf(key, len(now.slots))
	s := now.slots[k]
	if s.Owner == assign.Nobody || now.members[s.Owner].ID == "" {
		return Owner{}, false
	}
	return Owner{Slot: k, Token: s.Token, Member: now.members[s.Owner]}, true
}

// Owners returns the members that the plan gives slots to, except those that are
// not among the members of the group, in no order. The channel is closed when the
// plan or the members have changed. The slice is the caller's.
func (r *Router) Owners() (owners []membership.Member, changed <-chan struct{}) {
	now := r.now.Load()
	return slices.DeleteFunc(slices.Clone(now.members), func(m membership.Member) bool { return m.ID == "" }), now.changed
}

// Wait blocks until the plan and the members have been read once, or ctx ends.
// If no plan exists, it waits for the first. Errors: backend.ErrUnavailable with
// ctx's cause, ErrDenied, ErrFormat, ErrClosed.
func (r *Router) Wait(ctx context.Context) error {
	return r.await(ctx, func(now *routes) bool { return now.synced })
}

// Await returns the owner of a key as soon as it is another than refused, or has
// another token. Use it when refused has rejected a request, or with a zero
// refused to wait for any owner. It blocks until then, or until ctx ends. Errors:
// as Wait.
func (r *Router) Await(ctx context.Context, key string, refused Owner) (owner Owner, err error) {
	err = r.await(ctx, func(now *routes) (ok bool) {
		owner, ok = now.owner(key)
		return ok && !owner.same(refused)
	})
	if err != nil {
		return Owner{}, err
	}
	return owner, nil
}

func (r *Router) await(ctx context.Context, ready func(*routes) bool) error {
	for {
		now := r.now.Load()
		switch {
		case ready(now):
			return nil
		case r.life.Err() != nil:
			return fmt.Errorf("router %q: %w", r.name, context.Cause(r.life))
		case now.err != nil:
			return fmt.Errorf("router %q: %w", r.name, now.err)
		}
		select {
		case <-now.changed:
		case <-r.life.Done():
		case <-ctx.Done():
			return fmt.Errorf("router %q: %w: %w", r.name, backend.ErrUnavailable, context.Cause(ctx))
		}
	}
}

// Age returns how long ago the answers were last known to be what the store
// shows. While the store answers it is less than a TTL. It grows while the store
// is unavailable, the watch is refused or the plan cannot be read. Before the
// first answer it is the longest Duration.
func (r *Router) Age() time.Duration {
	r.mu.Lock()
	down, group := r.down, r.group
	if up, since := r.watcher.Up(); !up && down.IsZero() {
		down = since
	}
	r.mu.Unlock()
	if group == nil || !r.now.Load().synced {
		return math.MaxInt64
	}
	age := group.View().Age
	if !down.IsZero() {
		age = max(age, time.Since(down))
	}
	return age
}

// Close ends the watches. Owner keeps its last answers. Its error is nil.
func (r *Router) Close() error {
	r.end(backend.ErrClosed)
	r.following.Wait()
	return nil
}

// follow keeps a watch of the plan until the Router ends.
func (r *Router) follow() {
	defer r.leaveGroup()
	for {
		err := r.followPlan()
		if r.life.Err() != nil {
			return
		}
		if errors.Is(err, backend.ErrClosed) {
			r.end(backend.ErrClosed)
			return
		}
		if r.fail(err) {
			r.store.Logger().Error("the plan cannot be followed", "partition", r.name, "error", err)
		}
		if backend.Sleep(r.life, routerPause) != nil {
			return
		}
		w, err := r.store.Watch(backend.Key(r.plan))
		if err != nil {
			r.end(err) // the Store is closed
			return
		}
		r.mu.Lock()
		r.watcher = w
		r.mu.Unlock()
	}
}

// followPlan takes each plan that the watch shows, until the watch is over.
func (r *Router) followPlan() error {
	w := r.watcher // follow alone sets it
	defer w.Close()
	for {
		if err := w.Next(r.life); err != nil {
			return err
		}
		entries := w.Entries(0)
		if len(entries) == 0 {
			r.recover(nil) // the slots are run as the last plan said
			continue
		}
		read, err := decodePlan(entries[0])
		if err != nil {
			if r.fail(err) {
				r.store.Logger().Error("the plan cannot be read", "partition", r.name, "error", err)
			}
			continue
		}
		r.recover(read)
	}
}

// fail notes that the answers are no longer what the store shows, and why. It
// reports whether that is news.
func (r *Router) fail(err error) (news bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	news = r.err == nil || r.err.Error() != err.Error()
	if r.err = err; r.down.IsZero() {
		r.down = time.Now()
		if up, since := r.watcher.Up(); !up {
			r.down = since
		}
	}
	r.publish()
	return news
}

// recover notes that the plan can be followed. It takes a plan if there is one.
func (r *Router) recover(read *plan) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down, r.err = time.Time{}, nil
	if read != nil {
		r.read = read
		if r.group == nil || r.group.Name() != read.group {
			r.enterGroup(read.group)
		}
	}
	r.publish()
}

// enterGroup begins to follow the members of a group; r.mu is held.
func (r *Router) enterGroup(name string) {
	if r.leave != nil {
		r.leave()
	}
	group, err := membership.New(r.store, name, nil)
	if err != nil {
		r.err = err
		return
	}
	ctx, leave := context.WithCancel(r.life)
	r.group, r.leave, r.view = group, leave, membership.View{}
	r.following.Go(func() {
		defer group.Close()
		for ctx.Err() == nil {
			for view, err := range group.Watch(ctx) {
				if err != nil {
					break
				}
				r.see(group, view)
			}
			_ = backend.Sleep(ctx, routerPause)
		}
	})
}

func (r *Router) leaveGroup() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.leave != nil {
		r.leave()
	}
}

// see takes a view of the members, unless the plan names another group by now.
func (r *Router) see(group *membership.Group, view membership.View) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.group == group {
		r.view = view
		r.publish()
	}
}

// publish replaces the snapshot; r.mu is held.
func (r *Router) publish() {
	next := &routes{err: r.err, changed: make(chan struct{})}
	if r.read != nil {
		next.synced = r.view.Synced
		next.slots, next.members = r.read.Slots, make([]membership.Member, len(r.read.Members))
		for i, registration := range r.read.Members {
			next.members[i], _ = r.view.Lookup(idOf(registration))
		}
	}
	close(r.now.Swap(next).changed)
}
