package cluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// ServerTLS is what servers serve TLS with: PEM files.
type ServerTLS struct {
	// CertFile and KeyFile are the servers' certificate, valid for 127.0.0.1,
	// and its key.
	CertFile, KeyFile string
	// ClientCAFile, if set, is the authority whose signature clients'
	// certificates must have; without it clients need no certificate.
	ClientCAFile string
}

// Certificates are an authority of its own, a certificate of the servers and
// one of a client that it signed, as PEM files in one directory.
type Certificates struct {
	CAFile                        string
	ServerCertFile, ServerKeyFile string
	ClientCertFile, ClientKeyFile string

	authority *signer
	renewals  int64
}

// NewCertificates makes certificates in dir, valid for a day, the servers' for
// 127.0.0.1 and localhost, the client's with the common name given.
func NewCertificates(dir, client string) (*Certificates, error) {
	now := time.Now()
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "quorate test authority"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the authority's key: %w", err)
	}
	authority := &signer{dir: dir, ca: ca, key: key}
	c := &Certificates{authority: authority}
	if c.CAFile, _, err = authority.sign("ca", ca, key); err != nil {
		return nil, err
	}
	if c.ServerCertFile, c.ServerKeyFile, err = authority.issue("server", 2, "localhost"); err != nil {
		return nil, err
	}
	if c.ClientCertFile, c.ClientKeyFile, err = authority.issue("client", 3, client); err != nil {
		return nil, err
	}
	return c, nil
}

// RenewServer puts a new certificate of the servers, with a new key, in the place of
// the present one.
func (c *Certificates) RenewServer() error {
	c.renewals++
	_, _, err := c.authority.issue("server", 3+c.renewals, "localhost")
	return err
}

// Server is what servers serve with; clients need a certificate if mutual.
func (c *Certificates) Server(mutual bool) *ServerTLS {
	s := &ServerTLS{CertFile: c.ServerCertFile, KeyFile: c.ServerKeyFile}
	if mutual {
		s.ClientCAFile = c.CAFile
	}
	return s
}

// Client is what a client connects with; it trusts the authority alone and
// has a certificate.
func (c *Certificates) Client() (*tls.Config, error) {
	cert, err := tls.LoadX509KeyPair(c.ClientCertFile, c.ClientKeyFile)
	if err != nil {
		return nil, fmt.Errorf("loading the client's certificate: %w", err)
	}
	authority, err := os.ReadFile(c.CAFile)
	if err != nil {
		return nil, fmt.Errorf("loading the authority's certificate: %w", err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	return &tls.Config{
		MinVersion: tls.VersionTLS12, RootCAs: pool, Certificates: []tls.Certificate{cert}, ServerName: "127.0.0.1",
	}, nil
}

type signer struct {
	dir string
	ca  *x509.Certificate
	key *ecdsa.PrivateKey
}

func (s *signer) issue(file string, serial int64, name string) (string, string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", fmt.Errorf("making the key of %s: %w", name, err)
	}
	return s.sign(file, &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name},
		NotBefore: s.ca.NotBefore, NotAfter: s.ca.NotAfter,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:    []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}, key)
}

// sign signs a certificate for key and writes both.
func (s *signer) sign(file string, cert *x509.Certificate, key *ecdsa.PrivateKey) (string, string, error) {
	der, err := x509.CreateCertificate(rand.Reader, cert, s.ca, key.Public(), s.key)
	if err != nil {
		return "", "", fmt.Errorf("signing the certificate %s: %w", file, err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", "", fmt.Errorf("encoding the key of %s: %w", file, err)
	}
	certFile, keyFile := filepath.Join(s.dir, file+".pem"), filepath.Join(s.dir, file+".key")
	for path, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: der},
		keyFile:  {Type: "PRIVATE KEY", Bytes: secret},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			return "", "", fmt.Errorf("writing the certificate %s: %w", file, err)
		}
	}
	return certFile, keyFile, nil
}
