package open

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/quorate/quorate/backend/consul"
	"github.com/quorate/quorate/backend/driver"
	"github.com/quorate/quorate/backend/etcd"
	"github.com/quorate/quorate/backend/postgres"
	"github.com/quorate/quorate/backend/zookeeper"
)

func etcdDriver(t *Target) (driver.Driver, func(), error) {
	config, err := t.tls()
	if err != nil {
		return nil, nil, err
	}
	client, err := clientv3.New(clientv3.Config{
		Endpoints: t.hosts, TLS: config, Username: t.user, Password: t.password, Logger: zap.NewNop(),
	})
	if err != nil {
		return nil, nil, invalid("etcd's client does not accept the URL's settings")
	}
	closeClient := func() { _ = client.Close() }
	d, err := etcd.NewDriver(client)
	return owned(d, closeClient, err)
}

func consulDriver(t *Target) (driver.Driver, func(), error) {
	tlsConfig, err := t.tls()
	if err != nil {
		return nil, nil, err
	}
	config := api.DefaultConfig()
	config.Address, config.Scheme = t.hosts[0], "http"
	if t.password != "" {
		config.Token, config.TokenFile = t.password, ""
	}
	if tlsConfig != nil {
		config.Scheme = "https"
		config.Transport.TLSClientConfig = tlsConfig
		config.HttpClient = &http.Client{Transport: config.Transport}
	}
	client, err := api.NewClient(config)
	if err != nil {
		return nil, nil, invalid("consul's client does not accept the URL's settings")
	}
	d, err := consul.NewDriver(client, &consul.Options{Node: t.params.Get("node")})
	return owned(d, config.Transport.CloseIdleConnections, err)
}

func zookeeperDriver(t *Target) (driver.Driver, func(), error) {
	config, err := t.tls()
	if err != nil {
		return nil, nil, err
	}
	options := &zookeeper.Options{TLS: config}
	options.Tick, _ = t.duration("tick") // Parse has checked it
	if t.user != "" || t.password != "" {
		options.Auth = []zookeeper.Auth{{Scheme: "digest", Data: []byte(t.user + ":" + t.password)}}
	}
	d, err := zookeeper.NewDriver(t.hosts, options)
	return owned(d, func() {}, err)
}

func postgresDriver(t *Target) (driver.Driver, func(), error) {
	pool, err := t.pool()
	if err != nil {
		return nil, nil, err
	}
	d, err := postgres.NewDriver(pool, t.postgresOptions())
	return owned(d, pool.Close, err)
}

// owned returns a driver with its client, or closes the client after an error.
func owned(d driver.Driver, closeClient func(), err error) (driver.Driver, func(), error) {
	if err != nil {
		closeClient()
		return nil, nil, invalid("%w", err)
	}
	return d, closeClient, nil
}

func (t *Target) postgresOptions() *postgres.Options {
	poll, _ := t.duration("poll") // Parse has checked it
	return &postgres.Options{Schema: t.params.Get("schema"), Poll: poll}
}

// pool returns a pool on the primary server. It connects when it is used.
func (t *Target) pool() (*pgxpool.Pool, error) {
	params := url.Values{}
	for name, values := range t.params {
		switch name {
		case "namespace", "ttl", "schema", "poll", "password": // ours, and the secret
		default:
			params[name] = values
		}
	}
	// pgx gets the password apart from the URL, so that its errors cannot show it.
	user := ""
	if t.user != "" {
		user = url.User(t.user).String() + "@" // the password file is searched by it
	}
	u := "postgres://" + user + strings.Join(t.hosts, ",") + "/" + url.PathEscape(t.database) + "?" + params.Encode()
	config, err := pgxpool.ParseConfig(u)
	if err != nil {
		if parse, ok := errors.AsType[*pgconn.ParseConfigError](err); ok {
			err = parse.Unwrap()
		}
		return nil, invalid("the parameters of the postgres URL: %w", err)
	}
	password := t.password
	if password == "" {
		password = t.params.Get("password")
	}
	if password != "" {
		config.ConnConfig.Password = password
	}
	if t.params.Get("connect_timeout") == "" {
		config.ConnConfig.ConnectTimeout = 2 * time.Second
	}
	config.ConnConfig.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsPrimary
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		return nil, invalid("the settings of the postgres URL: %w", err)
	}
	return pool, nil
}

// Prepare makes what the store needs before its first use: on PostgreSQL the
// schema, which needs a role that may create one. On the other stores it does
// nothing. It may be called again. It blocks until ctx ends at the latest.
// Errors: [backend.ErrUnavailable], [backend.ErrDenied], [backend.ErrInvalid].
func (t *Target) Prepare(ctx context.Context) error {
	if t.scheme != postgresScheme {
		return nil
	}
	pool, err := t.pool()
	if err != nil {
		return err
	}
	defer pool.Close()
	return postgres.Migrate(ctx, pool, t.postgresOptions())
}
