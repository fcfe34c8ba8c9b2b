//! tokio-tungstenite over our stream.

use countersign::identity::DnsName;
use countersign::{ConnectError, Connector, TlsStream};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_async, client_async};

use crate::world::{Server, World, deny_all, rotate_under_traffic, said};

type Socket = WebSocketStream<TlsStream<TcpStream, DnsName>>;

/// Answers each message with the name of the client.
async fn greet(stream: TlsStream<TcpStream, DnsName>) {
    let name = stream.peer().identity().to_string();
    let Ok(mut socket) = accept_async(stream).await else {
        return;
    };
    while let Some(Ok(message)) = socket.next().await {
        if message.is_text() && socket.send(name.clone().into()).await.is_err() {
            return;
        }
    }
}

async fn connect(connector: &Connector<DnsName>, port: u16) -> Result<Socket, ConnectError> {
    let tcp = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let stream = connector.connect("localhost", tcp).await?;
    let (socket, _) = client_async(format!("wss://localhost:{port}/"), stream)
        .await
        .expect("an upgrade");
    Ok(socket)
}

async fn ask(socket: &mut Socket) -> Result<String, Error> {
    socket.send(Message::text("who am I?")).await?;
    match socket.next().await {
        Some(message) => Ok(message?.to_text()?.to_owned()),
        None => Err(Error::ConnectionClosed),
    }
}

#[tokio::test]
async fn allowed_and_denied() {
    let world = World::new();
    let Server { acceptor, port } = world.serve(greet).await;
    let alice = world.connector();
    let mut socket = connect(&alice, port).await.unwrap();
    assert_eq!(ask(&mut socket).await.unwrap(), "alice.example");
    let error = connect(&world.denying(), port).await.unwrap_err();
    assert_eq!(error.reason(), "denied");
    let error = connect(&world.distrusting(), port).await.unwrap_err();
    assert_eq!(error.reason(), "unknown_issuer");

    // Each side cuts the open connection.
    alice.control().set_policy(deny_all);
    let error = ask(&mut socket).await.unwrap_err();
    assert!(said(&error).contains("no longer admitted"), "{error:?}");
    let mut socket = connect(&world.connector(), port).await.unwrap();
    acceptor.control().set_policy(deny_all);
    let error = ask(&mut socket).await.unwrap_err();
    assert!(said(&error).contains("access_denied"), "{error:?}");
}

#[tokio::test]
async fn no_message_is_lost_while_credentials_are_replaced() {
    let world = World::new();
    let server = world.serve(greet).await;
    let alice = world.connector();
    let sent = rotate_under_traffic(
        &world,
        &alice,
        async || Mutex::new(connect(&alice, server.port).await.unwrap()),
        async |socket| ask(&mut *socket.lock().await).await.map(drop),
    )
    .await;
    println!("tokio-tungstenite: {sent} messages, 5 rotations");
    assert_eq!(alice.control().stats().admitted, 6);
}
