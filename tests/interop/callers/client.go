// Calls servers by Go's net/http and crypto/tls: an order on a line, an answer on a line.
//
// An order is URL, CA file, certificate and key file or nothing, TLS version, milliseconds to wait;
// between tabs. The answer is `ok` and the page, or `error` and Go's error.
package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

var versions = map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}

func get(url, ca, certificate, key, version, wait string) (string, error) {
	roots := x509.NewCertPool()
	pem, err := os.ReadFile(ca)
	if err != nil {
		return "", err
	}
	roots.AppendCertsFromPEM(pem)
	config := &tls.Config{RootCAs: roots, MinVersion: versions[version], MaxVersion: versions[version]}
	if certificate != "" {
		pair, err := tls.LoadX509KeyPair(certificate, key)
		if err != nil {
			return "", err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	milliseconds, err := strconv.Atoi(wait)
	if err != nil {
		return "", err
	}
	client := &http.Client{Transport: &http.Transport{
		TLSClientConfig:     config,
		TLSHandshakeTimeout: time.Duration(milliseconds) * time.Millisecond,
		DisableKeepAlives:   true,
	}}
	response, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}

func main() {
	orders := bufio.NewScanner(os.Stdin)
	for orders.Scan() {
		order := strings.Split(orders.Text(), "\t")
		answer := ""
		body, err := get(order[0], order[1], order[2], order[3], order[4], order[5])
		if err == nil {
			answer = "ok\t" + body
		} else {
			answer = "error\t" + err.Error()
		}
		fmt.Println(strings.ReplaceAll(strings.TrimSpace(answer), "\n", " "))
	}
}
