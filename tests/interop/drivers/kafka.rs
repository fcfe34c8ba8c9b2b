//! rskafka with an exported configuration.

use std::io;
use std::time::Duration;

use countersign::identity::DnsName;
use countersign::{Connector, TlsStream};
use rskafka::BackoffConfig;
use rskafka::client::error::Error;
use rskafka::client::{Client, ClientBuilder};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::world::{Server, World, exported, rotate_under_traffic};

const API_VERSIONS: i16 = 18;
const METADATA: i16 = 3;

/// A broker that has one topic, with the name of the client.
async fn broker(mut stream: TlsStream<TcpStream, DnsName>, port: u16) -> io::Result<()> {
    let name = stream.peer().identity().to_string();
    loop {
        let length = usize::try_from(stream.read_i32().await?).unwrap();
        let mut request = vec![0; length];
        stream.read_exact(&mut request).await?;
        let number = |at: usize| i16::from_be_bytes([request[at], request[at + 1]]);
        let mut answer = request[4..8].to_vec(); // its number
        match (number(0), number(2)) {
            (API_VERSIONS, 0) => {
                answer.extend(0_i16.to_be_bytes());
                answer.extend(2_i32.to_be_bytes());
                for number in [API_VERSIONS, 0, 0, METADATA, 1, 1] {
                    answer.extend(number.to_be_bytes());
                }
            }
            // UNSUPPORTED_VERSION, and nothing that is supported
            (API_VERSIONS, _) => answer.extend([0, 35, 0, 0, 0, 0]),
            (METADATA, 1) => {
                answer.extend(1_i32.to_be_bytes()); // one broker
                answer.extend(1_i32.to_be_bytes());
                text(&mut answer, "localhost");
                answer.extend(i32::from(port).to_be_bytes());
                answer.extend((-1_i16).to_be_bytes()); // in no rack
                answer.extend(1_i32.to_be_bytes()); // the controller
                answer.extend(1_i32.to_be_bytes()); // one topic
                answer.extend(0_i16.to_be_bytes());
                text(&mut answer, &name);
                answer.push(0); // not an internal one
                answer.extend(0_i32.to_be_bytes()); // without partitions
            }
            other => panic!("{other:?}"),
        }
        stream.write_i32(answer.len().try_into().unwrap()).await?;
        stream.write_all(&answer).await?;
        stream.flush().await?;
    }
}

fn text(to: &mut Vec<u8>, text: &str) {
    to.extend(i16::try_from(text.len()).unwrap().to_be_bytes());
    to.extend(text.as_bytes());
}

async fn connect(connector: &Connector<DnsName>, port: u16) -> Result<Client, Error> {
    ClientBuilder::new(vec![format!("localhost:{port}")])
        .tls_config(exported(connector))
        .backoff_config(BackoffConfig {
            deadline: Some(Duration::from_millis(1)),
            ..BackoffConfig::default()
        })
        .build()
        .await
}

async fn ask(client: &Client) -> Result<(), Error> {
    let topics = client.list_topics().await?;
    let names: Vec<_> = topics.iter().map(|topic| &*topic.name).collect();
    assert_eq!(names, ["alice.example"]);
    Ok(())
}

async fn serve(world: &World) -> Server {
    world
        .serve(async |stream| {
            let port = stream.peer().connection().local_addr().unwrap().port();
            // The client closes it.
            let _ = broker(stream, port).await;
        })
        .await
}

#[tokio::test]
async fn allowed_and_denied() {
    let world = World::new();
    let server = serve(&world).await;
    let client = connect(&world.connector(), server.port).await.unwrap();
    ask(&client).await.unwrap();
    world.trail.take();
    for (connector, reason) in [
        (world.denying(), "denied"),
        (world.distrusting(), "unknown_issuer"),
    ] {
        assert!(connect(&connector, server.port).await.is_err());
        assert!(world.reasons().contains(&Some(reason)));
    }
    assert!(connect(&world.impostor(), server.port).await.is_err());
}

#[tokio::test]
async fn no_request_is_lost_while_credentials_are_replaced() {
    let world = World::new();
    let server = serve(&world).await;
    let alice = world.connector();
    let sent = rotate_under_traffic(
        &world,
        &alice,
        async || connect(&alice, server.port).await.unwrap(),
        ask,
    )
    .await;
    println!("rskafka: {sent} requests, 5 rotations");
    assert!(alice.control().stats().admitted >= 6);
}

#[tokio::test]
async fn a_server_that_does_not_ask_is_rejected() {
    let world = World::new();
    let port = world.serve_without_asking().await;
    assert!(connect(&world.connector(), port).await.is_err());
    assert!(world.reasons().contains(&Some("not_asked")));
}
