//! A server that follows its files: its certificate, and the list of allowed clients.
//!
//! ```text
//! cargo run --example hot_reload
//! ```

use std::error::Error;
use std::fs;
use std::net::SocketAddr;

use countersign::identity::DnsName;
use countersign::reload::{Reload, Source};
use countersign::testing::TestCa;
use countersign::{Acceptor, Connector, Credentials, Listener, TrustStore, policy};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Greets each client, and keeps the connection open.
async fn serve(mut listener: Listener<TcpStream, DnsName>) {
    while let Some(mut stream) = listener.accept().await {
        tokio::spawn(async move {
            stream.write_all(b"hello").await?;
            stream.flush().await?;
            stream.read_u8().await
        });
    }
}

/// Connects, and returns the connection with the serial number of the server's certificate.
async fn call(
    client: &Connector<DnsName>,
    server: SocketAddr,
) -> Result<(countersign::TlsStream<TcpStream, DnsName>, String), Box<dyn Error>> {
    let tcp = TcpStream::connect(server).await?;
    let mut stream = client.connect("localhost", tcp).await?;
    stream.read_exact(&mut [0; 5]).await?;
    let serial = stream.peer().certificate().serial().to_string();
    Ok((stream, serial))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let ca = TestCa::new("Example CA");
    let folder = std::env::temp_dir().join(format!("hot_reload-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let file = |name: &str| folder.join(name);
    let write_certificate = |serial| -> std::io::Result<()> {
        let own = ca.leaf().dns("localhost").serial(&[serial]).issue();
        fs::write(file("tls.crt"), own.chain_pem())?;
        fs::write(file("tls.key"), own.key_pem())
    };
    write_certificate(1)?;
    fs::write(file("ca.crt"), ca.pem())?;
    fs::write(file("clients.txt"), "*.billing.example\n")?;

    let clients = |text: String| policy::dns_patterns(text.lines());
    let acceptor = Acceptor::builder()
        .credentials(Credentials::from_pem_files(
            file("tls.crt"),
            file("tls.key"),
        )?)
        .trust(TrustStore::from_pem_file(file("ca.crt"))?)
        .identify(DnsName::extractor())
        .authorize(clients(fs::read_to_string(file("clients.txt"))?)?)
        .build()?;
    // It checks the files every ten seconds. Each set of files is applied as a whole or not at all.
    let reload = Reload::of(&acceptor)
        .credentials(Source::pem_files(file("tls.crt"), file("tls.key")))
        .trust(Source::<TrustStore>::pem_file(file("ca.crt")))
        .policy(Source::text_file(file("clients.txt")).try_map(clients))
        .start()
        .await?;
    let listener = Listener::bind(acceptor, "127.0.0.1:0").await?;
    let server = listener.local_addr().ok_or("no address")?;
    tokio::spawn(serve(listener));

    let own = ca.leaf().dns("a.billing.example").issue();
    let client = Connector::builder()
        .credentials(own.credentials())
        .trust(ca.trust())
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
        .build()?;
    println!("certificate: {}", call(&client, server).await?.1);

    write_certificate(2)?;
    reload.reload_now().await?; // or wait ten seconds
    let (mut open, serial) = call(&client, server).await?;
    println!("certificate after the renewal: {serial}");

    // Clients that are no longer allowed are disconnected.
    fs::write(file("clients.txt"), "*.support.example\n")?;
    reload.reload_now().await?;
    let closed = open.read_u8().await.err().ok_or("still open")?;
    println!("open connection after the policy change: {closed}");
    fs::remove_dir_all(&folder)?;
    Ok(())
}
