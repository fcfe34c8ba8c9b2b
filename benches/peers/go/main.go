// The servers of Go that `benches/peers/run` measures: crypto/tls with the protocol of `serve.rs`, and
// net/http. Both use the defaults of crypto/tls, with required client certificates and TLS 1.3.
package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	keepAlive = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n"
	closing   = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\nok\n"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: server tls|http FOLDER")
	}
	kind, folder := os.Args[1], os.Args[2]
	config, err := configure(folder)
	if err != nil {
		log.Fatal(err)
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("listening on %s\n", tcp.Addr())
	// The end of the bench ends the server.
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	listener := tls.NewListener(tcp, config)
	if kind == "http" {
		server := http.Server{
			Handler:  http.HandlerFunc(respond),
			ErrorLog: log.New(io.Discard, "", 0),
		}
		log.Fatal(server.Serve(listener))
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go func() {
			defer connection.Close()
			answer(connection)
		}()
	}
}

func configure(folder string) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(filepath.Join(folder, "server.crt"), filepath.Join(folder, "server.key"))
	if err != nil {
		return nil, err
	}
	root, err := os.ReadFile(filepath.Join(folder, "ca.crt"))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(root) {
		return nil, fmt.Errorf("no certificate in ca.crt")
	}
	return &tls.Config{
		Certificates: []tls.Certificate{pair},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    roots,
		MinVersion:   tls.VersionTLS13,
	}, nil
}

func respond(w http.ResponseWriter, _ *http.Request) {
	io.WriteString(w, "ok\n")
}

// The same protocol as `answer` in serve.rs.
func answer(connection net.Conn) {
	reader := bufio.NewReaderSize(connection, 512)
	for {
		line, err := reader.ReadSlice('\n')
		if err != nil {
			return
		}
		if !bytes.HasPrefix(line, []byte("GET ")) {
			command(connection, reader, strings.Fields(string(line)))
			return
		}
		response := keepAlive
		for {
			line, err = reader.ReadSlice('\n')
			if err != nil {
				return
			}
			if len(line) <= 2 {
				break
			}
			if bytes.EqualFold(bytes.TrimSpace(line), []byte("connection: close")) {
				response = closing
			}
		}
		if _, err := io.WriteString(connection, response); err != nil || response == closing {
			return
		}
	}
}

func command(connection net.Conn, reader *bufio.Reader, words []string) {
	connection.Write([]byte("+"))
	if len(words) == 1 && words[0] == "PING" {
		buffer := make([]byte, 64)
		for {
			count, err := reader.Read(buffer)
			if err != nil {
				return
			}
			if _, err := connection.Write(buffer[:count]); err != nil {
				return
			}
		}
	}
	if len(words) != 2 {
		return
	}
	size, err := strconv.ParseInt(words[1], 10, 64)
	if err != nil {
		return
	}
	buffer := make([]byte, 64*1024)
	switch words[0] {
	case "SINK":
		for left := size; left > 0; {
			count, err := reader.Read(buffer)
			if err != nil {
				return
			}
			left -= int64(count)
		}
		connection.Write([]byte("+"))
	case "SEND":
		for left := size; left > 0; left -= int64(len(buffer)) {
			if _, err := connection.Write(buffer[:min(left, int64(len(buffer)))]); err != nil {
				return
			}
		}
	}
}
