// Command counterbench measures package counter on an etcd cluster of three
// servers on this machine, side by side with the increment that the etcd
// client's own recipe makes (concurrency.NewSTM), and with a bare atomic.Add.
// Every figure is the median of the rounds; ours and theirs take turns.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.uber.org/zap"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/backend/etcd"
	"github.com/quorate/quorate/counter"
	"github.com/quorate/quorate/integration/cluster"
)

func main() {
	rounds := flag.Int("rounds", 5, "how often each figure is measured")
	long := flag.Duration("long", 2*time.Second, "how long each measurement takes")
	flag.Parse()
	if err := run(*rounds, *long); err != nil {
		fmt.Fprintln(os.Stderr, "counterbench:", err)
		os.Exit(1)
	}
}

// bench is one run: a cluster, and the names used so far.
type bench struct {
	cluster *cluster.Cluster
	rounds  int
	long    time.Duration
	names   int
	out     *tabwriter.Writer
}

// increment adds one, as one of the processes.
type increment func(process int) error

func run(rounds int, long time.Duration) (err error) {
	c, err := cluster.StartEtcd(cluster.EtcdConfig{})
	if err != nil {
		return err
	}
	defer c.Close()
	b := &bench{cluster: c, rounds: rounds, long: long, out: tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)}
	fmt.Fprintf(b.out, "per second, median of %d rounds of %v (lowest to highest)\tours\tbaseline\tratio\twanted\n", rounds, long)
	for _, each := range []struct {
		name               string
		processes, callers int
		wanted             string
	}{
		{"1 process x 64 goroutines, STM", 1, 64, ">= 100"},
		{"8 processes x 8 goroutines, STM", 8, 8, ">= 15"},
		{"1 caller, STM", 1, 1, ">= 1.5"},
	} {
		if err := b.compare(each.name, each.wanted, each.processes, each.callers, b.ours(1), b.stm); err != nil {
			return err
		}
	}
	if err := b.compare("1 caller, a bare put: the floor", "-", 1, 1, b.ours(1), b.put); err != nil {
		return err
	}
	if err := b.compare("1 caller, 64 entries in the document and 1", ">= 0.8", 1, 1, b.ours(64), b.ours(1)); err != nil {
		return err
	}
	if err := b.local(); err != nil {
		return err
	}
	return b.out.Flush()
}

// compare measures two ways in turn and prints a line.
func (b *bench) compare(name, wanted string, processes, callers int, ours, theirs func(processes int) (increment, func(), error)) error {
	var figures [2][]float64
	for range b.rounds {
		for i, way := range []func(int) (increment, func(), error){ours, theirs} {
			inc, end, err := way(processes)
			if err != nil {
				return err
			}
			n, err := b.measure(processes, callers, inc)
			end()
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			figures[i] = append(figures[i], n)
		}
	}
	b.line(name, wanted, figures[0], figures[1])
	return nil
}

func (b *bench) line(name, wanted string, ours, theirs []float64) {
	show := func(figures []float64) string {
		slices.Sort(figures)
		return fmt.Sprintf("%.0f (%.0f to %.0f)", median(figures), figures[0], figures[len(figures)-1])
	}
	fmt.Fprintf(b.out, "%s\t%s\t%s\t%.2f\t%s\n", name, show(ours), show(theirs), median(ours)/median(theirs), wanted)
	_ = b.out.Flush()
}

func median(sorted []float64) float64 { return sorted[len(sorted)/2] }

// measure runs inc in all goroutines and returns how often it ran per second.
func (b *bench) measure(processes, callers int, inc increment) (float64, error) {
	for p := range processes {
		if err := inc(p); err != nil { // connects
			return 0, err
		}
	}
	var n atomic.Int64
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	start := time.Now()
	for p := range processes {
		for range callers {
			wg.Go(func() {
				for time.Since(start) < b.long {
					if err := inc(p); err != nil {
						failed.Store(&err)
						return
					}
					n.Add(1)
				}
			})
		}
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	return float64(n.Load()) / time.Since(start).Seconds(), nil
}

func (b *bench) client() (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{Endpoints: b.cluster.Addrs(), Logger: zap.NewNop()})
}

func (b *bench) name() string {
	b.names++
	return "bench-" + strconv.Itoa(b.names)
}

// store opens a Store with a client of its own.
func (b *bench) store() (*backend.Store, func(), error) {
	client, err := b.client()
	if err != nil {
		return nil, nil, err
	}
	store, err := etcd.New(client, nil)
	return store, func() { _ = store.Close(); _ = client.Close() }, err
}

// ours counts with a Counter per process, on a document of so many entries.
func (b *bench) ours(entries int) func(processes int) (increment, func(), error) {
	return func(processes int) (increment, func(), error) {
		name := b.name()
		var counters []*counter.Counter
		var ends []func()
		end := func() {
			for _, f := range ends {
				f()
			}
		}
		for range processes {
			store, closeStore, err := b.store()
			if err != nil {
				return nil, end, err
			}
			ends = append(ends, closeStore)
			for range max(entries-processes, 0) {
				other, err := counter.New(store, name, nil) // a writer of its own
				if err != nil {
					return nil, end, err
				}
				if _, err := other.Add(context.Background(), 1); err != nil {
					return nil, end, err
				}
			}
			c, err := counter.New(store, name, nil)
			if err != nil {
				return nil, end, err
			}
			counters = append(counters, c)
		}
		return func(p int) error {
			_, err := counters[p].Add(context.Background(), 1)
			return err
		}, end, nil
	}
}

// put counts nothing: it writes as many bytes as a Counter's first document has,
// without any condition.
func (b *bench) put(int) (increment, func(), error) {
	client, err := b.client()
	if err != nil {
		return nil, func() {}, err
	}
	key, value := b.name(), strings.Repeat("x", 100)
	return func(int) error {
		_, err := client.Put(context.Background(), key, value)
		return err
	}, func() { _ = client.Close() }, nil
}

// stm counts as the client's documentation shows it.
func (b *bench) stm(processes int) (increment, func(), error) {
	key := b.name()
	var clients []*clientv3.Client
	end := func() {
		for _, c := range clients {
			_ = c.Close()
		}
	}
	for range processes {
		c, err := b.client()
		if err != nil {
			return nil, end, err
		}
		clients = append(clients, c)
	}
	return func(p int) error {
		_, err := concurrency.NewSTM(clients[p], func(s concurrency.STM) error {
			n, err := strconv.Atoi("0" + s.Get(key))
			s.Put(key, strconv.Itoa(n+1))
			return err
		})
		return err
	}, end, nil
}

// local measures what is an atomic addition nearly always.
func (b *bench) local() error {
	const callers = 64
	store, end, err := b.store()
	if err != nil {
		return err
	}
	defer end()
	sequence, err := counter.NewSequence(store, b.name(), nil)
	if err != nil {
		return err
	}
	defer sequence.Close()
	tally, err := counter.NewTally(store, b.name(), nil)
	if err != nil {
		return err
	}
	var bare atomic.Int64
	ctx := context.Background()
	ways := []func() error{
		func() error { bare.Add(1); return nil },
		func() error { _, err := sequence.Next(ctx); return err },
		func() error { tally.Add(1); return nil },
	}
	figures := make([][]float64, len(ways))
	for range b.rounds {
		for i, way := range ways {
			n, err := b.spin(callers, way)
			if err != nil {
				return err
			}
			figures[i] = append(figures[i], n)
		}
	}
	b.line("Sequence.Next, 64 goroutines, atomic.Add", ">= 0.1", figures[1], slices.Clone(figures[0]))
	b.line("Tally.Add, 64 goroutines, atomic.Add", ">= 0.25", figures[2], figures[0])
	return tally.Close(ctx)
}

// spin runs do in all goroutines and looks at the clock once in a thousand
// times.
func (b *bench) spin(callers int, do func() error) (float64, error) {
	var n atomic.Int64
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	start := time.Now()
	for range callers {
		wg.Go(func() {
			for time.Since(start) < b.long {
				for range 1000 {
					if err := do(); err != nil {
						failed.Store(&err)
						return
					}
				}
				n.Add(1000)
			}
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	return float64(n.Load()) / time.Since(start).Seconds(), nil
}
