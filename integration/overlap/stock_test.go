package overlap

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-zookeeper/zk"
	"github.com/hashicorp/consul/api"
	"github.com/jackc/pgx/v5"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.uber.org/zap"
)

// stockEtcd leads by the client's own recipe, as its documentation shows it:
// until the session is done.
func stockEtcd(ctx context.Context, tk task, j *journal) error {
	client, err := clientv3.New(clientv3.Config{Endpoints: tk.Addrs, Logger: zap.NewNop()})
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		session, err := concurrency.NewSession(client, concurrency.WithTTL(int(tk.TTL/time.Second)), concurrency.WithContext(ctx))
		if err != nil {
			continue
		}
		e := concurrency.NewElection(session, "/stock/"+tk.Name)
		if err := e.Campaign(ctx, "me"); err != nil {
			continue
		}
		leading := func() bool {
			select {
			case <-session.Done():
				return false
			default:
				return ctx.Err() == nil
			}
		}
		for leading() {
			j.beat(uint64(e.Rev()), leading)
			pause(every)
		}
	}
	return nil
}

// stockConsul leads by the client's own recipe, as its documentation shows it:
// until the channel that Lock returns is closed.
func stockConsul(ctx context.Context, tk task, j *journal) error {
	client, err := api.NewClient(&api.Config{Address: tk.Addrs[0]}) // one agent, as Consul's clients do
	if err != nil {
		return err
	}
	var term atomic.Uint64
	for ctx.Err() == nil {
		lock, err := client.LockOpts(&api.LockOptions{Key: "stock/" + tk.Name, SessionTTL: tk.TTL.String(), LockDelay: time.Millisecond})
		if err != nil {
			return err
		}
		lost, err := lock.Lock(ctx.Done())
		if err != nil || lost == nil {
			continue
		}
		leading := func() bool {
			select {
			case <-lost:
				return false
			default:
				return ctx.Err() == nil
			}
		}
		for term.Add(1); leading(); {
			j.beat(term.Load(), leading)
			pause(every)
		}
	}
	return nil
}

type quietZoo struct{}

func (quietZoo) Printf(string, ...any) {}

// stockZooKeeper leads by the client's own recipe: from Lock until the client
// says that the session has expired.
func stockZooKeeper(ctx context.Context, tk task, j *journal) error {
	var term uint64
	for ctx.Err() == nil {
		conn, events, err := zk.Connect(tk.Addrs, tk.TTL, zk.WithLogger(quietZoo{}))
		if err != nil {
			return err
		}
		expired, lose := context.WithCancel(ctx)
		go func() {
			for e := range events {
				if e.State == zk.StateExpired {
					lose()
				}
			}
		}()
		lock := zk.NewLock(conn, "/stock/"+tk.Name, zk.WorldACL(zk.PermAll))
		if lock.Lock() == nil {
			leading := func() bool { return expired.Err() == nil }
			for term++; leading(); {
				j.beat(term, leading)
				pause(every)
			}
		}
		lose()
		conn.Close()
	}
	return nil
}

// stockPostgres leads by what PostgreSQL's manual offers for this, a lock of the
// session: until a query on that session fails.
func stockPostgres(ctx context.Context, tk task, j *journal) error {
	url := fmt.Sprintf("postgres://postgres@%s/postgres?sslmode=disable&target_session_attrs=primary&connect_timeout=1", strings.Join(tk.Addrs, ","))
	var term uint64
	for ctx.Err() == nil {
		conn, err := pgx.Connect(ctx, url)
		if err != nil {
			continue
		}
		if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock(hashtext($1))", tk.Name); err == nil {
			lost := make(chan struct{})
			go func() {
				defer close(lost)
				for ctx.Err() == nil {
					bound, cancel := context.WithTimeout(ctx, tk.TTL)
					err := conn.Ping(bound)
					cancel()
					if err != nil {
						return
					}
					pause(tk.TTL / 3)
				}
			}()
			leading := func() bool {
				select {
				case <-lost:
					return false
				default:
					return ctx.Err() == nil
				}
			}
			for term++; leading(); {
				j.beat(term, leading)
				pause(every)
			}
			<-lost
		}
		conn.Close(context.WithoutCancel(ctx))
	}
	return nil
}
