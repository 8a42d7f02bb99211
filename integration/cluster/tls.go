package cluster

// ServerTLS is what servers serve TLS with: PEM files.
type ServerTLS struct {
	// CertFile and KeyFile are the servers' certificate, valid for 127.0.0.1,
	// and its key.
	CertFile, KeyFile string
	// ClientCAFile, if set, is the authority whose signature clients'
	// certificates must have; without it clients need no certificate.
	ClientCAFile string
}
