//! tokio-postgres with PostgreSQL.

use std::path::{Path, PathBuf};
use std::time::Duration;

use countersign::integration::tokio_postgres::{MutualTls, connect};
use countersign::live::CloseReason;
use countersign::{ConnectError, Connector, DrainSignal, TlsStream, identity::DnsName};
use support::interop::Files;
use support::programs::{in_ci, is_there};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};
use tokio_postgres::config::{ChannelBinding, SslMode};
use tokio_postgres::{Client, Config, NoTls, Socket};

use crate::real::{Running, give, run, start, unprivileged};
use crate::world::{PATIENCE, World, deny_all, renew, rotate_under_traffic, said};

const USER: &str = "postgres";

/// PostgreSQL with client certificates required, by which the database user is known.
struct Postgres {
    running: Running,
    folder: TempDir,
}

/// The folder of the newest version.
fn binaries() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok();
    let folders = versions.into_iter().flatten().flatten();
    let found = folders
        .map(|version| version.path().join("bin"))
        .filter(|folder| folder.join("initdb").is_file())
        .max();
    is_there(found.is_some(), "PostgreSQL", in_ci());
    found
}

impl Postgres {
    async fn start(world: &World) -> Option<Self> {
        let binaries = binaries()?;
        let folder = tempfile::tempdir().unwrap();
        let Files { cert, key } = world.server();
        for (from, to) in [
            (&cert, "server.crt"),
            (&key, "server.key"),
            (&world.pki.ca_file, "ca.pem"),
        ] {
            std::fs::copy(from, folder.path().join(to)).unwrap();
        }
        run(tokio::process::Command::new("chmod")
            .arg("600")
            .arg(folder.path().join("server.key")))
        .await;
        give(folder.path(), USER).await;
        let data = folder.path().join("data");
        run(unprivileged(USER, &binaries.join("initdb"))
            .args(["--username=admin", "--auth=trust", "--no-sync"])
            .args(["--encoding=UTF8", "--locale=C", "--pgdata"])
            .arg(&data))
        .await;
        let started = Self::configured(folder.path(), "ca.pem", HBA);
        started.unwrap();
        give(folder.path(), USER).await;
        let running = start("PostgreSQL", |port| {
            let mut command = unprivileged(USER, &binaries.join("postgres"));
            command.arg("-D").arg(&data).args(["-p", &port.to_string()]);
            command
        })
        .await;
        let started = Self { running, folder };
        started.prepare().await;
        Some(started)
    }

    fn configured(folder: &Path, ca: &str, hba: &str) -> std::io::Result<()> {
        let at = folder.display();
        let ca = match ca {
            "" => String::new(),
            name => format!("{at}/{name}"),
        };
        let settings = format!(
            "listen_addresses = '127.0.0.1'\nunix_socket_directories = '{at}'\nfsync = off\n\
             ssl = on\nssl_cert_file = '{at}/server.crt'\nssl_key_file = '{at}/server.key'\n\
             ssl_ca_file = '{ca}'\n"
        );
        std::fs::write(folder.join("data/postgresql.conf"), settings)?;
        std::fs::write(folder.join("data/pg_hba.conf"), hba)
    }

    /// An administrator, by the Unix socket.
    async fn admin(&self) -> Client {
        let mut config = Config::new();
        config
            .host_path(self.folder.path())
            .user("admin")
            .dbname("postgres");
        config.port(self.running.port);
        let until = Instant::now() + PATIENCE;
        loop {
            match config.connect(NoTls).await {
                Ok((client, connection)) => {
                    tokio::spawn(connection);
                    return client;
                }
                Err(error) => assert!(Instant::now() < until, "{error:?}"),
            }
            sleep(Duration::from_millis(20)).await; // it starts
        }
    }

    async fn prepare(&self) {
        let statements = "CREATE ROLE alice LOGIN; CREATE ROLE bob LOGIN; \
                          CREATE ROLE carol LOGIN PASSWORD 'secret';";
        self.admin().await.batch_execute(statements).await.unwrap();
    }

    /// From now on it does not ask for certificates.
    async fn stop_asking(&self) {
        Self::configured(
            self.folder.path(),
            "",
            "local all all trust\nhostssl all all all trust\n",
        )
        .unwrap();
        give(self.folder.path(), USER).await;
        let reload = "SELECT pg_reload_conf()";
        self.admin().await.batch_execute(reload).await.unwrap();
    }

    fn config(&self, user: &str) -> Config {
        let mut config = Config::new();
        config.host("localhost").hostaddr([127, 0, 0, 1].into());
        config.port(self.running.port).user(user).dbname("postgres");
        config
    }

    async fn connect(
        &self,
        connector: &Connector<DnsName>,
        user: &str,
    ) -> Result<(Client, DrainSignal), tokio_postgres::Error> {
        let (client, connection, draining) = connect(connector, &self.config(user)).await?;
        tokio::spawn(connection);
        Ok((client, draining))
    }
}

/// `carol` has a password, and needs any certificate of the authority.
const HBA: &str = "local all all trust\n\
                   hostssl all carol all scram-sha-256 clientcert=verify-ca\n\
                   hostssl all all all cert\n";

/// The serial number of the certificate that the server knows its client by.
async fn serial(client: &Client) -> Result<String, tokio_postgres::Error> {
    let query = "SELECT client_serial::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    Ok(client.query_one(query, &[]).await?.get(0))
}

fn reason(error: &tokio_postgres::Error) -> Option<&'static str> {
    let source = std::error::Error::source(error)?;
    source
        .downcast_ref::<ConnectError>()
        .map(ConnectError::reason)
}

fn failed<T>(result: Result<T, tokio_postgres::Error>) -> tokio_postgres::Error {
    match result {
        Ok(_) => panic!("it connected"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn allowed_and_denied() {
    let world = World::new();
    let Some(server) = Postgres::start(&world).await else {
        return;
    };
    let alice = world.connector();
    let (client, draining) = server.connect(&alice, "alice").await.unwrap();
    let row = client
        .query_one("SELECT current_user::text", &[])
        .await
        .unwrap();
    assert_eq!(row.get::<_, String>(0), "alice");
    assert_eq!(alice.control().connections().len(), 1);
    assert!(draining.why().is_none());
    assert_eq!(world.reason(), None);

    // The server's part: the certificate is another user's, or a stranger's.
    let error = failed(server.connect(&alice, "bob").await);
    assert!(said(&error).contains("certificate authentication failed for user \"bob\""));
    assert_eq!(world.reason(), None, "TLS was mutual");
    let error = failed(server.connect(&world.impostor(), "alice").await);
    assert!(said(&error).contains("unknown_ca"), "{}", said(&error));
    world.trail.take();

    // Our part.
    let error = failed(server.connect(&world.denying(), "alice").await);
    assert_eq!(
        (reason(&error), world.reason()),
        (Some("denied"), Some("denied"))
    );
    let error = failed(server.connect(&world.distrusting(), "alice").await);
    assert_eq!(reason(&error), Some("unknown_issuer"));
    let mut other = Config::new();
    other.host("other.example").hostaddr([127, 0, 0, 1].into());
    other.port(server.running.port).user("alice");
    let error = failed(connect(&world.connector(), &other).await.map(drop));
    assert_eq!(reason(&error), Some("name_mismatch"));

    // An open connection follows the rules.
    alice.control().set_policy(deny_all);
    let error = serial(&client).await.unwrap_err();
    assert!(
        error.is_closed() || said(&error).contains("no longer admitted"),
        "{error:?}"
    );
    assert!(alice.control().connections().is_empty());
}

#[tokio::test]
async fn no_query_is_lost_while_credentials_are_replaced() {
    let world = World::new();
    let Some(server) = Postgres::start(&world).await else {
        return;
    };
    let alice = world.connector();
    let connect = async || {
        let (client, draining) = server.connect(&alice, "alice").await.unwrap();
        let serial = serial(&client).await.unwrap();
        (client, serial, draining)
    };
    let first = connect().await;
    let sent = rotate_under_traffic(&world, &alice, &connect, async |(client, own, _)| {
        serial(client).await.map(|serial| assert_eq!(serial, *own))
    })
    .await;
    println!("PostgreSQL: {sent} queries, 5 rotations");
    // The connection of before was asked to drain, and the server knows a new certificate since.
    let (client, own, draining) = first;
    assert_eq!(draining.await.reason(), "credentials_replaced");
    assert_ne!(connect().await.1, own);
    assert_eq!(serial(&client).await.unwrap(), own, "it still has its time");
}

#[tokio::test]
async fn a_server_that_does_not_ask_is_rejected() {
    let world = World::new();
    let Some(server) = Postgres::start(&world).await else {
        return;
    };
    let alice = world.connector();
    drop(server.connect(&alice, "alice").await.unwrap());
    server.stop_asking().await;
    let until = Instant::now() + PATIENCE;
    // The server takes its new configuration when it gets to it.
    while server.connect(&alice, "alice").await.is_ok() {
        assert!(Instant::now() < until);
        sleep(Duration::from_millis(20)).await;
    }
    let error = failed(server.connect(&alice, "alice").await);
    assert_eq!(reason(&error), Some("not_asked"));
    assert!(world.reasons().contains(&Some("not_asked")));
}

/// SCRAM with channel binding: both sides compute the same hash of the server's certificate.
#[tokio::test]
async fn scram_is_bound_to_the_connection() {
    let world = World::new();
    let Some(server) = Postgres::start(&world).await else {
        return;
    };
    let mut config = server.config("carol");
    config
        .password("secret")
        .channel_binding(ChannelBinding::Require);
    let (client, connection, _) = connect(&world.connector(), &config).await.unwrap();
    tokio::spawn(connection);
    serial(&client).await.unwrap();
    config.password("wrong");
    let error = failed(connect(&world.connector(), &config).await.map(drop));
    assert!(
        said(&error).contains("password authentication failed"),
        "{error:?}"
    );
}

/// A server, or an attacker, that answers: no TLS here.
#[tokio::test]
async fn nothing_is_sent_in_the_clear() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let received = tokio::spawn(async move {
        let mut received = Vec::new();
        for _ in 0..2 {
            let (mut tcp, _) = listener.accept().await.unwrap();
            let mut request = [0; 8];
            tcp.read_exact(&mut request).await.unwrap();
            tcp.write_all(b"N").await.unwrap();
            tcp.read_to_end(&mut received).await.unwrap();
        }
        received
    });
    let world = World::new();
    let url = format!("host=localhost hostaddr=127.0.0.1 port={port} user=alice sslmode=prefer");
    let mut config: Config = url.parse().unwrap();
    let error = failed(connect(&world.connector(), &config).await.map(drop));
    assert!(said(&error).contains("server does not support TLS"));
    let tls = MutualTls::required_in(&mut config, world.connector());
    assert_eq!(config.get_ssl_mode(), SslMode::Require);
    let error = failed(config.connect(tls).await.map(drop));
    assert!(said(&error).contains("server does not support TLS"));
    assert!(received.await.unwrap().is_empty());
}

/// What a connection that was cut reports.
#[tokio::test]
async fn the_error_of_a_cut_connection_has_its_reason() {
    let world = World::new();
    let Some(server) = Postgres::start(&world).await else {
        return;
    };
    let alice = world.connector();
    let config = server.config("alice");
    let (_client, connection, _) = connect(&alice, &config).await.unwrap();
    let _: &tokio_postgres::Connection<Socket, TlsStream<Socket, DnsName>> = &connection;
    let running = tokio::spawn(connection);
    renew(&alice, world.alice().credentials());
    alice.control().set_policy(deny_all);
    let error = running.await.unwrap().unwrap_err();
    let io = std::error::Error::source(&error).and_then(|source| source.downcast_ref());
    let inner = io.and_then(std::io::Error::get_ref).expect("the cause");
    let cause = inner.downcast_ref::<CloseReason>().expect("the reason");
    assert_eq!(cause.reason(), "denied");
}
