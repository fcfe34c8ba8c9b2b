// Certificates and a CRL, as programs in Go make them. The argument chooses the CRL's function.
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"net/url"
	"os"
	"time"
)

func check[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func write(name, kind string, der ...[]byte) {
	var out []byte
	for _, block := range der {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: block})...)
	}
	if err := os.WriteFile(name, out, 0o600); err != nil {
		panic(err)
	}
}

func serial() *big.Int {
	return check(rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 128)))
}

func authority(name string, above *x509.Certificate, signer *ecdsa.PrivateKey, length int) (*x509.Certificate, *ecdsa.PrivateKey) {
	key := check(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	id := sha1.Sum(check(key.PublicKey.ECDH()).Bytes())
	template := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: name, Organization: []string{"Smallstep"}},
		NotBefore:             time.Now().Add(-time.Minute),
		NotAfter:              time.Now().Add(24 * time.Hour),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLen:            length,
		MaxPathLenZero:        length == 0,
		SubjectKeyId:          id[:],
	}
	if above == nil {
		above, signer = template, key
	}
	der := check(x509.CreateCertificate(rand.Reader, template, above, &key.PublicKey, signer))
	return check(x509.ParseCertificate(der)), key
}

func main() {
	root, rootKey := authority("Root", nil, nil, 1)
	issuing, issuingKey := authority("Intermediate", root, rootKey, 0)
	write("root.pem", "CERTIFICATE", root.Raw)

	// The extension of step-ca's certificates: provisioner type, name and key.
	provisioner := check(asn1.Marshal(struct {
		Type      int
		Name, Key []byte
	}{1, []byte("admin"), []byte("key")}))
	leaf := func(name string) *big.Int {
		key := check(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
		template := &x509.Certificate{
			SerialNumber: serial(),
			Subject:      pkix.Name{CommonName: name},
			NotBefore:    time.Now().Add(-time.Minute),
			NotAfter:     time.Now().Add(12 * time.Hour),
			KeyUsage:     x509.KeyUsageDigitalSignature,
			ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
			DNSNames:     []string{name + ".example"},
			URIs:         []*url.URL{check(url.Parse("spiffe://example.org/" + name))},
			ExtraExtensions: []pkix.Extension{{
				Id:    asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 37476, 9000, 64, 1},
				Value: provisioner,
			}},
		}
		der := check(x509.CreateCertificate(rand.Reader, template, issuing, &key.PublicKey, issuingKey))
		write(name+".pem", "CERTIFICATE", der, issuing.Raw)
		return template.SerialNumber
	}
	leaf("good")
	revoked := leaf("revoked")

	now, next := time.Now().Add(-time.Minute), time.Now().Add(time.Hour)
	list := func(ca *x509.Certificate, key *ecdsa.PrivateKey, serials ...*big.Int) []byte {
		if os.Args[1] == "CreateCRL" {
			var entries []pkix.RevokedCertificate
			for _, number := range serials {
				entries = append(entries, pkix.RevokedCertificate{SerialNumber: number, RevocationTime: now})
			}
			return check(ca.CreateCRL(rand.Reader, key, entries, now, next))
		}
		var entries []x509.RevocationListEntry
		for _, number := range serials {
			entries = append(entries, x509.RevocationListEntry{SerialNumber: number, RevocationTime: now, ReasonCode: 1})
		}
		template := &x509.RevocationList{Number: big.NewInt(7), ThisUpdate: now, NextUpdate: next, RevokedCertificateEntries: entries}
		return check(x509.CreateRevocationList(rand.Reader, template, ca, key))
	}
	write("list.crl", "X509 CRL", list(root, rootKey), list(issuing, issuingKey, revoked))
}
