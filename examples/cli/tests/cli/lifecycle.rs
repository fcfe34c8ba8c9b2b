//! The server under load, and its end.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::example::countersign;
use crate::interop::{Pki, name};
use crate::log::message;
use crate::programs::{PATIENCE, command};
use crate::running::{Server, client, identity_of, with};

async fn start(pki: &Pki) -> Server {
    let options = ["--identity", "cn", "--allow", "alice"].map(Into::into);
    let files = pki.files("server", &pki.server());
    Server::start(
        &files,
        options.into_iter().chain(with("--trust", &pki.ca_file)),
    )
    .await
}

#[tokio::test]
async fn sigterm_and_ctrl_c_stop_it_cleanly() {
    let pki = Pki::new();
    for signal in ["TERM", "INT"] {
        let server = start(&pki).await;
        server.signal(signal).await;
        let stopped = server.ended().await;
        assert_eq!(stopped.code, Some(0), "{signal}");
        assert!(stopped.stdout.is_empty() && stopped.attempts().is_empty());
    }
}

#[tokio::test]
async fn an_open_connection_gets_close_notify() {
    let pki = Pki::new();
    let server = start(&pki).await;
    let connector = pki.connector_with(countersign::policy::exact([name("server")]), &pki.ca);
    let tcp = TcpStream::connect(("127.0.0.1", server.port))
        .await
        .unwrap();
    let mut stream = connector.connect("localhost", tcp).await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"}\n") {
        let read = timeout(PATIENCE, stream.read_buf(&mut answer)).await;
        assert_ne!(read.expect("an answer in time").unwrap(), 0);
    }

    server.signal("TERM").await;
    // A clean end of the stream, and no cut: that would be an error.
    let end = timeout(PATIENCE, stream.read_buf(&mut answer)).await;
    assert_eq!(end.expect("it ends in time").unwrap(), 0);
    assert_eq!(server.ended().await.code, Some(0));
}

#[tokio::test]
async fn a_silent_connection_does_not_delay_others() {
    let pki = Pki::new();
    let server = start(&pki).await;
    let _silent = TcpStream::connect(("127.0.0.1", server.port))
        .await
        .unwrap();
    let alice = pki.client("alice");
    let finished = client(&alice, with("--trust", &pki.ca_file), &server.url()).await;
    assert_eq!(finished.code, Some(0));
}

#[tokio::test]
async fn it_survives_a_lack_of_file_descriptors() {
    let pki = Pki::new();
    let files = pki.files("server", &pki.server());
    let server = countersign("serve");
    let mut shell = command("sh");
    shell
        .args(["-c", "ulimit -n 32 && exec \"$@\"", "sh"])
        .arg(server.as_std().get_program())
        .args(server.as_std().get_args())
        .args(["--listen", "127.0.0.1:0", "--identity", "cn", "--allow-any"])
        .args(identity_of(&files))
        .args(with("--trust", &pki.ca_file));
    let mut server = Server::spawn(shell).await;

    let mut silent = Vec::new();
    for _ in 0..40 {
        let tcp = TcpStream::connect(("127.0.0.1", server.port)).await;
        silent.push(tcp.expect("the backlog takes it"));
    }
    let line = server.logged_as("accept_failed").await;
    let said = message(&line);
    assert!(said.contains("Too many open files"), "{said}");

    drop(silent);
    let alice = pki.client("alice");
    let finished = client(&alice, with("--trust", &pki.ca_file), &server.url()).await;
    assert_eq!(finished.code, Some(0), "{finished:?}");
}
