package open_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/backend"
	"github.com/quorate/quorate/open"
)

const secret = "s3cr%21t" // escaped "s3cr!t"

func TestParse(t *testing.T) {
	for url, want := range map[string]string{
		"etcd://a":                 "etcd://a:2379",
		"etcd://a:1,b,[::1]:3,::1": "etcd://a:1,b:2379,[::1]:3,[::1]:2379",
		"etcd://u:" + secret + "@a/?tls=true&ttl=3s":   "etcd://a:2379",
		"consul://:" + secret + "@a?node=n":            "consul://a:8500",
		"zookeeper://u:" + secret + "@a,b?tick=500ms":  "zookeeper://a:2181,b:2181",
		"postgres://u:" + secret + "@a/db?sslmode=off": "postgres://a:5432",
		"memory://": "memory://",
	} {
		target, err := open.Parse(url)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		for _, got := range []string{target.String(), fmt.Sprintf("%v", target), fmt.Sprintf("%#v", target)} {
			if got != want {
				t.Errorf("%s prints %q, want %q", url, got, want)
			}
		}
		if target.HasPassword() != strings.Contains(url, secret) {
			t.Errorf("%s: HasPassword is %v", url, target.HasPassword())
		}
	}
}

// TestMalformed holds that each malformed URL is ErrInvalid, with a message that
// has nothing of the credentials.
func TestMalformed(t *testing.T) {
	for _, url := range []string{
		"", "etcd", "etcd:u:" + secret + "@a", "http://u:" + secret + "@a", secret + "://a",
		"etcd://", "etcd://u:" + secret + "@", "etcd://a:b", "etcd://a:0", "etcd://a:70000", "etcd://a:1:2", "etcd://a,,b",
		"etcd://u:%zz" + secret + "@a", "etcd://a/path", "etcd://a#f", "etcd://a?x=%zz", "etcd://a?password=" + secret,
		"etcd://a?ttl=3", "etcd://a?ttl=-3s", "etcd://a?ttl=3s&ttl=4s", "etcd://a?tls=maybe",
		"etcd://a?tls=false&ca=/f", "etcd://a?cert=/f", "etcd://a?ca=/not/there", "etcd://a?namespace=/",
		"consul://a,b", "consul://u:" + secret + "@a", "consul://a?tick=1s", "zookeeper://a?tick=0s",
		"postgres://u:" + secret + "@a", "postgres://u:" + secret + "@a/db?sslmode=wrong",
		"postgres://u@a/db?password=" + secret + "&sslmode=wrong", "postgres://u:" + secret + "@a/db?pool_max_conns=x",
		"postgres://u:" + secret + "@a/db?schema=A-B", "memory://a", "memory://u:" + secret + "@",
	} {
		store, err := open.Store(url, nil)
		if err == nil {
			_ = store.Close()
			t.Errorf("%s was opened", url)
			continue
		}
		if !errors.Is(err, backend.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", url, err)
		}
		if text := fmt.Sprintf("%v %#v", err, err); strings.Contains(text, "s3cr") {
			t.Errorf("%s: the error shows the secret: %v", url, err)
		}
	}
}

// TestOpenDoesNoIO opens stores that are down.
func TestOpenDoesNoIO(t *testing.T) {
	for _, url := range []string{
		"etcd://127.0.0.1:1", "consul://127.0.0.1:1", "zookeeper://127.0.0.1:1", "postgres://u:" + secret + "@127.0.0.1:1/db", "memory://",
	} {
		began := time.Now()
		store, err := open.Store(url+"?namespace=a/b&ttl=30s", &backend.Options{Namespace: "c", TTL: time.Minute, CallTimeout: 300 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("opening %s took %v", url, took)
		}
		if store.Namespace() != "a/b" || store.TTL() != 30*time.Second {
			t.Errorf("%s: namespace %s, TTL %v", url, store.Namespace(), store.TTL())
		}
		_, _, err = store.Get(t.Context(), "key")
		if up := url == "memory://"; up != (err == nil) || !up && !errors.Is(err, backend.ErrUnavailable) {
			t.Errorf("%s: %v", url, err)
		}
		if err != nil && strings.Contains(err.Error(), "s3cr") {
			t.Errorf("%s: the error shows the secret: %v", url, err)
		}
		if err := store.Close(); err != nil {
			t.Errorf("%s: close: %v", url, err)
		}
	}
}

func TestTLSFiles(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := open.Store("etcd://a?ca="+file, nil); !errors.Is(err, backend.ErrInvalid) {
		t.Errorf("a file without certificates: %v", err)
	}
	if _, err := open.Store("etcd://a?ca="+file+"x", nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is absent: %v", err)
	}
}

func TestFlags(t *testing.T) {
	flags := flag.NewFlagSet("", flag.ContinueOnError)
	openStore := open.Flags(flags, &backend.Options{Namespace: "n"})
	if err := flags.Parse([]string{"-ttl", "20s"}); err != nil {
		t.Fatal(err)
	}
	store, err := openStore()
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if store.Namespace() != "n" || store.TTL() != 20*time.Second {
		t.Errorf("namespace %s, TTL %v", store.Namespace(), store.TTL())
	}
}

func TestPrepareNeedsNothing(t *testing.T) {
	target, err := open.Parse("etcd://127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := target.Prepare(ctx); err != nil {
		t.Error(err)
	}
}
