// One TLS connection by Go's crypto/tls, and what came of it, as a line of JSON.
//
// peer client PORT ROOTS CERTIFICATE KEY
// peer server ROOTS CERTIFICATE KEY      prints "port N" first
//
// Key exchange groups are those of the environment variable GROUPS, by number, if there are any.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
)

func config(roots, certificate, key string) (*tls.Config, error) {
	pem, err := os.ReadFile(roots)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	own, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		return nil, err
	}
	made := &tls.Config{
		Certificates: []tls.Certificate{own},
		RootCAs:      pool,
		ClientCAs:    pool,
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ServerName:   "localhost",
		MinVersion:   tls.VersionTLS13,
	}
	for _, group := range strings.Fields(os.Getenv("GROUPS")) {
		number, err := strconv.Atoi(group)
		if err != nil {
			return nil, err
		}
		made.CurvePreferences = append(made.CurvePreferences, tls.CurveID(number))
	}
	return made, nil
}

func about(connection *tls.Conn) map[string]string {
	return map[string]string{"group": connection.ConnectionState().CurveID.String()}
}

func client(port, roots, certificate, key string) (map[string]string, error) {
	made, err := config(roots, certificate, key)
	if err != nil {
		return nil, err
	}
	connection, err := tls.Dial("tcp", "127.0.0.1:"+port, made)
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	if _, err = io.WriteString(connection, "GET / HTTP/1.0\r\n\r\n"); err != nil {
		return nil, err
	}
	answer, err := io.ReadAll(connection)
	if err != nil {
		return nil, err
	}
	found := about(connection)
	found["answer"] = string(answer)
	return found, nil
}

func server(roots, certificate, key string) (map[string]string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	fmt.Println("port", listener.Addr().(*net.TCPAddr).Port)
	tcp, err := listener.Accept()
	if err != nil {
		return nil, err
	}
	defer tcp.Close()
	made, err := config(roots, certificate, key)
	if err != nil {
		return nil, err
	}
	connection := tls.Server(tcp, made)
	if err = connection.Handshake(); err != nil {
		return nil, err
	}
	request := make([]byte, 4096)
	if _, err = connection.Read(request); err != nil {
		return nil, err
	}
	found := about(connection)
	found["client"] = connection.ConnectionState().PeerCertificates[0].Subject.String()
	if _, err = io.WriteString(connection, "hello "+found["client"]); err != nil {
		return nil, err
	}
	return found, connection.Close()
}

func main() {
	var found map[string]string
	var err error
	if arguments := os.Args[2:]; os.Args[1] == "client" {
		found, err = client(arguments[0], arguments[1], arguments[2], arguments[3])
	} else {
		found, err = server(arguments[0], arguments[1], arguments[2])
	}
	if err != nil {
		found = map[string]string{"error": err.Error()}
	}
	line, _ := json.Marshal(found)
	fmt.Println(string(line))
	if err != nil {
		os.Exit(1)
	}
}
