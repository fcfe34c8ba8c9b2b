//! What clients of other libraries read when our server cuts or drains their connection during a call:
//! Python's grpcio, which is gRPC's own C++ core, and Go's net/http.

use std::convert::Infallible;
use std::ffi::OsString;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use countersign::identity::DnsName;
use countersign::integration::hyper::RequestBody;
use countersign::pki::Crl;
use countersign::testing::TestCa;
use countersign::trust::Crls;
use countersign::{Acceptor, Update, policy};
use hyper::body::{Body, Bytes, Frame};
use hyper::{Request, Response};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use tokio::time::{Sleep, sleep, timeout};

use super::grpc_python::python;
use support::http::{Running, acceptor, deny_all, serve};
use support::interop::{Files, Pki};
use support::programs::{PATIENCE, command, in_ci, is_installed};

/// A gRPC method that streams empty messages without end.
#[derive(Clone)]
struct Endless;

impl tower_service::Service<Request<RequestBody>> for Endless {
    type Response = Response<Messages>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<RequestBody>) -> Self::Future {
        let response = Response::builder()
            .header("content-type", "application/grpc")
            .body(Messages(Box::pin(sleep(Duration::ZERO))));
        ready(Ok(response.unwrap()))
    }
}

struct Messages(Pin<Box<Sleep>>);

impl Body for Messages {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.as_mut().poll(cx).map(|()| {
            self.0 = Box::pin(sleep(Duration::from_millis(20)));
            Some(Ok(Frame::data(Bytes::from_static(&[0; 5]))))
        })
    }
}

/// What our side does to the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Denied,
    Revoked,
    /// `close_where` of the application: close_notify.
    Closed,
    /// A shutdown, with a second to drain.
    Drained,
}

const EVENTS: [Event; 4] = [Event::Denied, Event::Revoked, Event::Closed, Event::Drained];

async fn happen(event: Event, ca: &TestCa, acceptor: &Acceptor<DnsName>, server: &Running) {
    let control = acceptor.control();
    match event {
        Event::Denied => control.set_policy(deny_all),
        Event::Revoked => {
            let open = control.connections();
            let certificate = open.first().expect("a connection").peer().certificate();
            let crl = ca.crl().revoke(certificate.serial().as_bytes()).build();
            let crls = Crls::new([Crl::from_der(&crl).unwrap()]).unwrap();
            control.update(Update::new().revocation(crls)).unwrap();
        }
        Event::Closed => assert!(control.close_where(|_| true) > 0),
        Event::Drained => server.handle.shutdown(Duration::from_secs(1)).await,
    }
}

/// Runs a client that prints `open` once its call is in progress, and then how it ended.
async fn ends(event: Event, client: impl FnOnce(&Pki, u16, &Files) -> Command) -> Value {
    let pki = Pki::new();
    let alice = pki.ca.leaf().dns("alice.example").issue();
    let files = pki.files("alice", &alice);
    let acceptor = acceptor(&pki.ca, policy::allow_any()).build().unwrap();
    let server = serve(&acceptor, Endless).await;
    let mut client = client(&pki, server.address.port(), &files).spawn().unwrap();
    let mut lines = BufReader::new(client.stdout.take().unwrap()).lines();
    let mut line = async || {
        let line = timeout(PATIENCE, lines.next_line()).await;
        line.expect("the client prints").unwrap()
    };
    let first = line().await;
    if first.as_deref() != Some("open") {
        panic!("{:?}", client.wait_with_output().await);
    }
    happen(event, &pki.ca, &acceptor, &server).await;
    let last = line().await.expect("how the call ended");
    // Shown when the test fails.
    eprintln!("{event:?}: {last}");
    serde_json::from_str(&last).unwrap()
}

/// Prints code, text and, in base64, the details.
const PYTHON: &str = r#"
import base64, grpc, json, sys

port, ca, cert, key = sys.argv[1:5]
read = lambda path: open(path, "rb").read()
credentials = grpc.ssl_channel_credentials(read(ca), read(key), read(cert))
plain = lambda message: message
with grpc.secure_channel("localhost:" + port, credentials) as channel:
    try:
        call = channel.unary_stream("/endless.v1.Endless/Watch", plain, plain)
        for number, message in enumerate(call(b"", timeout=60)):
            if number == 0:
                print("open", flush=True)
    except grpc.RpcError as error:
        trailers = dict(error.trailing_metadata() or ())
        bin = trailers.get("grpc-status-details-bin", b"")
        print(json.dumps([error.code().name, error.details(), bin.decode("latin1")]))
"#;

fn grpcio(python: &OsString, pki: &Pki, port: u16, own: &Files) -> Command {
    let mut client = command(python);
    client.args(["-c", PYTHON, &port.to_string()]);
    client.args([&pki.ca_file, &own.cert, &own.key]);
    client
}

#[tokio::test]
async fn grpcio_reads_unavailable_and_the_reason() {
    let Some(python) = python() else { return };
    for event in EVENTS {
        let mut end = Value::Null;
        // grpcio discards the GOAWAY if it reads it late, together with the alert: often on a busy machine.
        for _ in 0..20 {
            end = ends(event, |pki, port, own| grpcio(&python, pki, port, own)).await;
            if end[0] == "UNAVAILABLE" {
                break;
            }
        }
        let [code, text, details] = [0, 1, 2].map(|index| end[index].as_str().unwrap());
        assert_eq!(code, "UNAVAILABLE", "{event:?}: {end}");
        if event == Event::Drained {
            assert_eq!(text, "shut_down");
            let info = "google.rpc.ErrorInfo";
            assert!(
                details.contains(info) && details.contains("shut_down"),
                "{end}"
            );
        } else {
            let reason = match event {
                Event::Denied => "Error code: 12; Debug Text: denied",
                Event::Revoked => "Error code: 12; Debug Text: revoked",
                _ => "Error code: 0; Debug Text: ended_by_application",
            };
            assert!(text.contains(reason), "{end}");
            assert_eq!(details, "", "a cut connection sends no trailers: {end}");
            assert!(
                !text.contains("closed for today"),
                "nothing of the rule: {end}"
            );
        }
    }
}

/// Prints the error of a body that is read to its end, and the trailer `Grpc-Message`.
const GO: &str = r#"
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func main() {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(must(os.ReadFile(os.Args[2])))
	own := must(tls.LoadX509KeyPair(os.Args[3], os.Args[4]))
	client := &http.Client{Transport: &http.Transport{
		ForceAttemptHTTP2: true,
		TLSClientConfig:   &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{own}},
	}}
	url := "https://localhost:" + os.Args[1] + "/endless.v1.Endless/Watch"
	response := must(client.Post(url, "application/grpc", strings.NewReader("")))
	must(io.ReadFull(response.Body, make([]byte, 5)))
	fmt.Println("open")
	_, err := io.Copy(io.Discard, response.Body)
	text := ""
	if err != nil {
		text = err.Error()
	}
	out := must(json.Marshal([]string{text, response.Trailer.Get("Grpc-Status"), response.Trailer.Get("Grpc-Message")}))
	fmt.Println(string(out))
}
"#;

#[tokio::test]
async fn go_reads_the_alert_or_the_goaway() {
    if !is_installed("go", "version", in_ci()) {
        return;
    }
    for event in EVENTS {
        let end = ends(event, |pki, port, own| {
            let source = pki.write("client.go", GO);
            let mut client = command("go");
            client.arg("run").arg(source).arg(port.to_string());
            client.args([&pki.ca_file, &own.cert, &own.key]);
            client
        });
        let end = end.await;
        let text = end[0].as_str().unwrap();
        match event {
            // crypto/tls names the alert.
            Event::Denied => assert_eq!(text, "remote error: tls: access denied"),
            Event::Revoked => assert_eq!(text, "remote error: tls: revoked certificate"),
            Event::Closed => assert!(
                text.contains("ErrCode=NO_ERROR")
                    && text.contains(r#"debug="ended_by_application""#),
                "{end}"
            ),
            Event::Drained => assert_eq!(end, json!(["", "14", "shut_down"])),
        }
    }
}
