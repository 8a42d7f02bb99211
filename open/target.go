package open

import (
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quorate/quorate/backend"
)

// Target is a store that a URL names. It is immutable, and prints without its
// password.
type Target struct {
	scheme         string
	hosts          []string
	user, password string
	database       string // of PostgreSQL
	params         url.Values
}

// Parse takes a URL apart. See the package's documentation for what it may
// contain. It does no I/O. A malformed URL is [backend.ErrInvalid].
func Parse(rawURL string) (*Target, error) {
	scheme, rest, ok := strings.Cut(rawURL, "://")
	if !ok {
		return nil, invalid("the URL has no scheme; it begins with one of %s", strings.Join(Schemes(), ", "))
	}
	s, known := schemes[scheme]
	if !known {
		return nil, invalid("the URL's scheme is unknown; it is one of %s", strings.Join(Schemes(), ", "))
	}
	t := &Target{scheme: scheme}
	rest, query, _ := strings.Cut(rest, "?")
	authority, path, _ := strings.Cut(rest, "/")
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		if err := t.setUserinfo(authority[:at]); err != nil {
			return nil, err
		}
		authority = authority[at+1:]
	}
	if strings.Contains(rest, "#") {
		return nil, invalid("the URL has a fragment; escape # as %%23")
	}
	if err := t.setHosts(authority, s.port); err != nil {
		return nil, err
	}
	var err error
	if t.database, err = url.PathUnescape(path); err != nil || (t.database != "" && scheme != postgresScheme) {
		return nil, invalid("the path of the %s URL is not allowed or not escaped", scheme)
	}
	if t.params, err = url.ParseQuery(query); err != nil {
		return nil, invalid("the parameters of the %s URL are not escaped", scheme)
	}
	return t, t.check(s)
}

// Schemes returns how URLs begin.
func Schemes() []string {
	var prefixes []string
	for scheme := range schemes {
		prefixes = append(prefixes, scheme+"://")
	}
	slices.Sort(prefixes)
	return prefixes
}

// Scheme returns the scheme: "etcd", "consul", "zookeeper", "postgres" or "memory".
func (t *Target) Scheme() string { return t.scheme }

// HasPassword reports whether the Target has a password or a token.
func (t *Target) HasPassword() bool { return t.password != "" || t.params.Get("password") != "" }

// WithPassword returns the same target with these credentials. If user is empty,
// the URL's user stays. Consul takes a token and no user.
func (t *Target) WithPassword(user, password string) *Target {
	c := *t
	if user != "" {
		c.user = user
	}
	c.password = password
	return &c
}

// MinTTL returns the shortest TTL that servers with default settings grant.
func (t *Target) MinTTL() time.Duration { return schemes[t.scheme].minTTL }

// String returns the scheme and the hosts.
func (t *Target) String() string { return t.scheme + "://" + strings.Join(t.hosts, ",") }

// GoString returns what String does.
func (t *Target) GoString() string { return t.String() }

func (t *Target) setUserinfo(text string) error {
	user, password, _ := strings.Cut(text, ":")
	var err, err2 error
	t.user, err = url.PathUnescape(user)
	t.password, err2 = url.PathUnescape(password)
	if err != nil || err2 != nil {
		return invalid("the user or the password in the %s URL is not escaped", t.scheme)
	}
	return nil
}

func (t *Target) setHosts(authority, port string) error {
	if port == "" {
		if authority != "" {
			return invalid("a %s URL has no host", t.scheme)
		}
		return nil
	}
	for host := range strings.SplitSeq(authority, ",") {
		name, p, err := net.SplitHostPort(host)
		if err != nil { // without a port, or malformed
			name, p = strings.Trim(host, "[]"), port
			if strings.Contains(name, ":") && net.ParseIP(name) == nil {
				return invalid("a host of the %s URL is not host:port", t.scheme)
			}
		}
		if number, err := strconv.ParseUint(p, 10, 16); name == "" || err != nil || number == 0 {
			return invalid("a host of the %s URL has no name or no valid port", t.scheme)
		}
		t.hosts = append(t.hosts, net.JoinHostPort(name, p))
	}
	return nil
}

// check reports parameters that the scheme does not know, and values that are malformed.
func (t *Target) check(s scheme) error {
	known := append([]string{"namespace", "ttl"}, s.params...)
	for _, name := range slices.Sorted(maps.Keys(t.params)) {
		if !slices.Contains(known, name) && t.scheme != postgresScheme {
			return invalid("a %s URL has no such parameter as one of this URL; it takes %s", t.scheme, strings.Join(known, ", "))
		}
		if len(t.params[name]) > 1 {
			return invalid("a parameter of the %s URL occurs twice", t.scheme)
		}
	}
	for _, name := range []string{"ttl", "tick", "poll"} {
		if _, err := t.duration(name); err != nil {
			return err
		}
	}
	if v := t.params.Get("tls"); v != "" && v != "true" && v != "false" {
		return invalid("the URL's parameter tls is neither true nor false")
	}
	if t.scheme == postgresScheme && t.database == "" {
		return invalid("a postgres URL names a database: postgres://host:port/database")
	}
	if t.scheme == "consul" && (len(t.hosts) > 1 || t.user != "") {
		return invalid("a consul URL has one host, that of the agent, and a token without a user: consul://:token@host:port")
	}
	if t.scheme == "memory" && t.user+t.password != "" {
		return invalid("a memory URL has no credentials")
	}
	return nil
}

func (t *Target) duration(name string) (time.Duration, error) {
	v := t.params.Get(name)
	if v == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(v)
	if err != nil || d <= 0 {
		return 0, invalid("the URL's parameter %s is not a positive duration such as 10s", name)
	}
	return d, nil
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("open: %w: "+format, append([]any{backend.ErrInvalid}, args...)...)
}
