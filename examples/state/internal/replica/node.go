// Package replica keeps shards of state in the memory of several processes, so
// that what was acknowledged outlives any one of them. It is for the examples
// that show how: two hundred lines, and not a database.
//
// A shard has one owner at a time, by election or by partition, and the owner's
// fencing token goes with all that it sends. The store keeps, for each shard, a
// list of who has everything that was acknowledged (a [restart.Checkpoint] under
// the owner's guard), so no more than a few bytes that change when processes
// come and go, not with each write:
//
//   - a write is acknowledged when everybody on the list has it, and the list
//     has enough names;
//   - a new owner claims the list, by which the last one cannot change it any
//     more; then it takes the state from anybody on it, who refuses what comes
//     under an older token from then on.
//
// So if the last owner is still at it, it finds that it can neither reach
// everybody on the list nor shorten the list, and acknowledges nothing.
//
// If all on the list are gone at once, the state is, and a new owner waits for
// them: it does not begin with less than was acknowledged.
package replica

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"sync"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/examples/internal/web"
	"github.com/quorate/quorate/membership"
)

// Node is what a process has in its memory, of shards that it owns and of those
// that it keeps for others.
type Node struct {
	store  *backend.Store
	group  *membership.Group
	copies int

	mu     sync.Mutex
	self   string // the incarnation: a process that was started again has nothing
	shards map[string]*state
}

// state is a shard as one process has it.
type state struct {
	Token  uint64 // of the last owner that was here: no lower one is listened to
	Seq    uint64 // how many writes are in it
	Values map[string]string
}

// write is one, as the owner sends it to the others.
type write struct {
	Token, Seq uint64
	Key, Value string
}

// NewNode returns a Node that has nothing yet. A write is acknowledged once so
// many processes have it.
func NewNode(store *backend.Store, group *membership.Group, copies int) (*Node, error) {
	if copies < 1 {
		return nil, fmt.Errorf("%d copies: want one or more", copies)
	}
	return &Node{store: store, group: group, copies: copies, shards: map[string]*state{}}, nil
}

// Join says as whom this process has joined the group.
func (n *Node) Join(self *membership.Registration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.self = self.Incarnation()
}

// shard returns the state of a shard, with n.mu held, or an error if the one
// who asks has a token that is too old.
func (n *Node) shard(name string, token uint64) (*state, error) {
	s := n.shards[name]
	if s == nil {
		s = &state{Values: map[string]string{}}
		n.shards[name] = s
	}
	if token < s.Token {
		return nil, &web.StatusError{Code: http.StatusConflict, Text: fmt.Sprintf("shard %s: token %d is older than %d", name, token, s.Token)}
	}
	return s, nil
}

// take returns a copy of a shard to its new owner. From then on the last one is
// refused.
func (n *Node) take(name string, token uint64) (state, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s, err := n.shard(name, token)
	if err != nil {
		return state{}, err
	}
	s.Token = token
	values := make(map[string]string, len(s.Values))
	maps.Copy(values, s.Values)
	return state{Token: token, Seq: s.Seq, Values: values}, nil
}

// put replaces a shard by what its owner has.
func (n *Node) put(name string, whole state) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, err := n.shard(name, whole.Token); err != nil {
		return err
	}
	n.shards[name] = &whole
	return nil
}

// apply adds a write of the owner that this shard follows: the next one, and no
// other.
func (n *Node) apply(name string, w write) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	s, err := n.shard(name, w.Token)
	if err != nil {
		return err
	}
	if w.Token != s.Token || w.Seq != s.Seq+1 {
		return &web.StatusError{
			Code: http.StatusConflict,
			Text: fmt.Sprintf("shard %s: write %d with token %d does not follow %d with token %d", name, w.Seq, w.Token, s.Seq, s.Token),
		}
	}
	s.Seq, s.Values[w.Key] = w.Seq, w.Value
	return nil
}

// Handle answers the other processes.
func (n *Node) Handle(mux *http.ServeMux) {
	mux.HandleFunc("POST /replica/{shard}/take", func(w http.ResponseWriter, r *http.Request) {
		var token uint64
		if !decode(w, r, &token) {
			return
		}
		whole, err := n.take(r.PathValue("shard"), token)
		if err != nil {
			web.Fail(w, err)
			return
		}
		_ = json.NewEncoder(w).Encode(whole)
	})
	mux.HandleFunc("POST /replica/{shard}/put", func(w http.ResponseWriter, r *http.Request) {
		whole := state{Values: map[string]string{}}
		if !decode(w, r, &whole) {
			return
		}
		if err := n.put(r.PathValue("shard"), whole); err != nil {
			web.Fail(w, err)
		}
	})
	mux.HandleFunc("POST /replica/{shard}/apply", func(w http.ResponseWriter, r *http.Request) {
		var one write
		if !decode(w, r, &one) {
			return
		}
		if err := n.apply(r.PathValue("shard"), one); err != nil {
			web.Fail(w, err)
		}
	})
}

func decode(w http.ResponseWriter, r *http.Request, into any) bool {
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64*web.Limit)).Decode(into)
	if err != nil {
		web.Fail(w, &web.StatusError{Code: http.StatusBadRequest, Text: err.Error()})
	}
	return err == nil
}

func send(ctx context.Context, to membership.Member, shard, what string, body, answer any) error {
	return web.DoJSON(ctx, http.MethodPost, "http://"+to.Addr+"/replica/"+shard+"/"+what, body, answer)
}
