package postgres

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/jackc/pgx/v5/pgxpool"
)

// fakeServer speaks PostgreSQL's protocol and answers what a test tells it to.
type fakeServer struct {
	listener net.Listener
	running  sync.WaitGroup

	mu         sync.Mutex // guards what follows
	answer     func(b *fakeBackend)
	statements []string
	names      []string // of the prepared statements, which must be none
	opened     int      // connections for statements
	cancelled  chan struct{}
	conns      []net.Conn
}

// fakeBackend is the server's end of a connection.
type fakeBackend struct {
	*pgproto3.Backend
	conn net.Conn
}

// startFake returns a server and a driver on it.
func startFake(t *testing.T, answer func(b *fakeBackend)) (*fakeServer, *Driver) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fakeServer{listener: listener, answer: answer, cancelled: make(chan struct{}, 10)}
	f.running.Go(f.accept)
	pool, err := pgxpool.New(context.Background(), "postgres://app@"+listener.Addr().String()+"/postgres?sslmode=disable&connect_timeout=2")
	if err != nil {
		t.Fatal(err)
	}
	d, err := NewDriver(pool, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := d.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
		f.closeConns()
		pool.Close()
		listener.Close()
		f.running.Wait()
	})
	return f, d
}

func (f *fakeServer) accept() {
	for {
		conn, err := f.listener.Accept()
		if err != nil {
			return
		}
		f.mu.Lock()
		f.conns = append(f.conns, conn)
		f.mu.Unlock()
		f.running.Go(func() {
			defer conn.Close()
			f.serve(&fakeBackend{pgproto3.NewBackend(conn, conn), conn})
		})
	}
}

// closeConns ends all connections, as a server does that ends.
func (f *fakeServer) closeConns() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, conn := range f.conns {
		conn.Close()
	}
	f.conns = nil
}

func (f *fakeServer) serve(b *fakeBackend) {
	message, err := b.ReceiveStartupMessage()
	if err != nil {
		return
	}
	if _, ok := message.(*pgproto3.CancelRequest); ok {
		f.cancelled <- struct{}{}
		return
	}
	f.mu.Lock()
	f.opened++
	f.mu.Unlock()
	b.Send(&pgproto3.AuthenticationOk{})
	b.Send(&pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte{0, 0, 0, 1}})
	b.ready()
	for {
		message, err := b.Receive()
		if err != nil {
			return
		}
		switch message := message.(type) {
		case *pgproto3.Parse:
			f.mu.Lock()
			f.statements = append(f.statements, message.Query)
			if message.Name != "" {
				f.names = append(f.names, message.Name)
			}
			f.mu.Unlock()
		case *pgproto3.Sync:
			f.mu.Lock()
			answer := f.answer
			f.mu.Unlock()
			b.Send(&pgproto3.ParseComplete{})
			b.Send(&pgproto3.BindComplete{})
			answer(b)
		}
	}
}

func (b *fakeBackend) ready() {
	b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	_ = b.Flush()
}

// row sends the first row of an answer of quorate.commit.
func (b *fakeBackend) row(outcome byte) {
	b.Send(&pgproto3.DataRow{Values: [][]byte{{0, 0, 0, outcome}, []byte("server"), nil, number(7), number(7), nil}})
	b.Send(&pgproto3.CommandComplete{CommandTag: []byte("SELECT 1")})
}

func (b *fakeBackend) fail(severity, code string) {
	b.Send(&pgproto3.ErrorResponse{Severity: severity, SeverityUnlocalized: severity, Code: code, Message: "told to"})
}

func (f *fakeServer) counts() (statements, opened int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.statements), f.opened
}
