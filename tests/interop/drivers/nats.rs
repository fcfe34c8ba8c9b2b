//! async-nats with an exported configuration, and NATS.

use async_nats::{Client, ConnectError, ConnectOptions};
use countersign::Connector;
use countersign::identity::DnsName;
use futures_util::StreamExt as _;
use tokio::process::Command;

use crate::real::{Running, found, start};
use crate::world::{World, deny_all, exported, rotate_under_traffic, said};

async fn server(world: &World, verify: bool) -> Option<Running> {
    let program = found("nats-server")?;
    let files = world.server();
    let server = start("NATS", |port| {
        let (cert, key) = (files.cert.display(), files.key.display());
        let ca = world.pki.ca_file.display();
        let configuration = format!(
            "listen: \"127.0.0.1:{port}\"\n\
             tls {{ cert_file: \"{cert}\", key_file: \"{key}\", ca_file: \"{ca}\", verify: {verify} }}\n"
        );
        let file = world.pki.write(&format!("nats-{port}.conf"), configuration);
        let mut command = Command::new(&program);
        command.arg("-c").arg(file);
        command
    });
    Some(server.await)
}

async fn connect(connector: &Connector<DnsName>, server: &Running) -> Result<Client, ConnectError> {
    ConnectOptions::new()
        .require_tls(true)
        .tls_client_config((*exported(connector)).clone())
        .ignore_discovered_servers()
        .connect(format!("tls://localhost:{}", server.port))
        .await
}

async fn ask(client: &Client) -> Result<(), async_nats::RequestError> {
    let answer = client.request("orders", "order".into()).await?;
    assert_eq!(&*answer.payload, b"order");
    Ok(())
}

/// Sends each request back.
async fn responder(connector: &Connector<DnsName>, server: &Running) {
    let client = connect(connector, server).await.unwrap();
    let mut requests = client.subscribe("orders").await.unwrap();
    client.flush().await.unwrap();
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            let reply = request.reply.expect("a request");
            client.publish(reply, request.payload).await.unwrap();
        }
    });
}

#[tokio::test]
async fn allowed_and_denied() {
    let world = World::new();
    let Some(server) = server(&world, true).await else {
        return;
    };
    let alice = world.connector();
    responder(&alice, &server).await;
    let client = connect(&alice, &server).await.unwrap();
    ask(&client).await.unwrap();
    assert_eq!(world.reasons(), [None, None]);
    let error = connect(&world.impostor(), &server).await.unwrap_err();
    assert!(
        said(&error).to_lowercase().contains("alert")
            || error.kind() == async_nats::ConnectErrorKind::Io,
        "{error:?}"
    );
    world.trail.take();
    for (connector, reason) in [
        (world.denying(), "denied"),
        (world.distrusting(), "unknown_issuer"),
    ] {
        assert!(connect(&connector, &server).await.is_err());
        assert!(world.reasons().contains(&Some(reason)));
    }
    // The open connection stays, as the page says; a new one does not come about.
    alice.control().set_policy(deny_all);
    ask(&client).await.unwrap();
    assert!(connect(&alice, &server).await.is_err());
}

#[tokio::test]
async fn no_request_is_lost_while_credentials_are_replaced() {
    let world = World::new();
    let Some(server) = server(&world, true).await else {
        return;
    };
    let alice = world.connector();
    responder(&alice, &server).await;
    let sent = rotate_under_traffic(
        &world,
        &alice,
        async || connect(&alice, &server).await.unwrap(),
        ask,
    )
    .await;
    println!("async-nats: {sent} requests, 5 rotations");
    assert_eq!(alice.control().stats().admitted, 7);
}

#[tokio::test]
async fn a_server_that_does_not_ask_is_rejected() {
    let world = World::new();
    let Some(server) = server(&world, false).await else {
        return;
    };
    assert!(connect(&world.connector(), &server).await.is_err());
    assert!(world.reasons().contains(&Some("not_asked")));
}
