package open

import (
	"crypto/tls"
	"crypto/x509"
	"os"
)

// tls returns the configuration that the URL asks for, nil if it asks for none.
func (t *Target) tls() (*tls.Config, error) {
	asked := t.params.Get("tls") == "true"
	for _, name := range tlsParams[1:] {
		if t.params.Get(name) == "" {
			continue
		}
		if t.params.Get("tls") == "false" {
			return nil, invalid("the URL's parameter tls is false, and %s asks for TLS", name)
		}
		asked = true
	}
	if !asked {
		return nil, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.params.Get("server_name")}
	if file := t.params.Get("ca"); file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return nil, invalid("the URL's parameter ca: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, invalid("the file of the URL's parameter ca has no certificate in PEM")
		}
	}
	cert, key := t.params.Get("cert"), t.params.Get("key")
	if (cert == "") != (key == "") {
		return nil, invalid("the URL's parameters cert and key belong together")
	}
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, invalid("the URL's parameters cert and key: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}
