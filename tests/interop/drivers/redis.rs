//! redis over our stream, with Redis.

use countersign::identity::DnsName;
use countersign::{ConnectError, Connector, DrainSignal};
use redis::aio::MultiplexedConnection;
use redis::{AsyncCommands as _, AsyncConnectionConfig, RedisConnectionInfo, RedisError};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::real::{Running, found, start};
use crate::world::{World, deny_all, rotate_under_traffic, said};

async fn server(world: &World, asks: &str) -> Option<Running> {
    let program = found("redis-server")?;
    let files = world.server();
    let folder = world.pki.path("");
    let server = start("Redis", |port| {
        let mut command = Command::new(&program);
        command.args(["--port", "0", "--bind", "127.0.0.1", "--save", ""]);
        command.args(["--tls-port", &port.to_string(), "--tls-auth-clients", asks]);
        command.arg("--dir").arg(&folder);
        command.arg("--tls-cert-file").arg(&files.cert);
        command.arg("--tls-key-file").arg(&files.key);
        command.arg("--tls-ca-cert-file").arg(&world.pki.ca_file);
        command
    });
    Some(server.await)
}

async fn stream_of(
    connector: &Connector<DnsName>,
    server: &Running,
) -> Result<countersign::TlsStream<TcpStream, DnsName>, ConnectError> {
    let tcp = TcpStream::connect(("127.0.0.1", server.port))
        .await
        .unwrap();
    connector.connect("localhost", tcp).await
}

async fn connect(
    connector: &Connector<DnsName>,
    server: &Running,
) -> Result<(MultiplexedConnection, DrainSignal), RedisError> {
    let stream = stream_of(connector, server).await.expect("mutual TLS");
    let draining = stream.draining();
    let info = RedisConnectionInfo::default();
    let config = AsyncConnectionConfig::default();
    let (connection, driver) =
        MultiplexedConnection::new_with_config(&info, stream, config).await?;
    tokio::spawn(driver);
    Ok((connection, draining))
}

async fn count(connection: &MultiplexedConnection) -> Result<i64, RedisError> {
    connection.clone().incr("orders", 1).await
}

#[tokio::test]
async fn allowed_and_denied() {
    let world = World::new();
    let Some(server) = server(&world, "yes").await else {
        return;
    };
    let alice = world.connector();
    let (connection, draining) = connect(&alice, &server).await.unwrap();
    assert_eq!(count(&connection).await.unwrap(), 1);
    assert!(draining.why().is_none());
    let error = match connect(&world.impostor(), &server).await {
        Ok((connection, _)) => count(&connection).await.unwrap_err(),
        Err(error) => error,
    };
    assert!(said(&error).contains("unknown_ca"), "{error:?}");
    for (connector, reason) in [
        (world.denying(), "denied"),
        (world.distrusting(), "unknown_issuer"),
    ] {
        let error = stream_of(&connector, &server).await.unwrap_err();
        assert_eq!(error.reason(), reason);
    }
    alice.control().set_policy(deny_all);
    assert!(count(&connection).await.is_err());
    assert!(alice.control().connections().is_empty());
}

#[tokio::test]
async fn no_command_is_lost_while_credentials_are_replaced() {
    let world = World::new();
    let Some(server) = server(&world, "yes").await else {
        return;
    };
    let alice = world.connector();
    let sent = rotate_under_traffic(
        &world,
        &alice,
        async || connect(&alice, &server).await.unwrap(),
        async |(connection, _)| count(connection).await.map(drop),
    )
    .await;
    println!("redis: {sent} commands, 5 rotations");
    let (connection, _) = connect(&alice, &server).await.unwrap();
    let counted = usize::try_from(count(&connection).await.unwrap()).unwrap();
    assert_eq!(counted, sent + 1, "each was executed once");
    assert_eq!(alice.control().stats().admitted, 7);
}

#[tokio::test]
async fn a_server_that_does_not_ask_is_rejected() {
    let world = World::new();
    let Some(server) = server(&world, "no").await else {
        return;
    };
    let error = stream_of(&world.connector(), &server).await.unwrap_err();
    assert_eq!(error.reason(), "not_asked");
}
