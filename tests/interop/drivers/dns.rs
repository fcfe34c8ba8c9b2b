//! hickory-resolver over our streams: DNS over TLS (RFC 7858) with client certificates.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use countersign::identity::DnsName;
use countersign::{Connector, TlsStream};
use hickory_net::NetError;
use hickory_net::runtime::iocompat::AsyncIoTokioAsStd;
use hickory_net::runtime::{RuntimeProvider, TokioHandle, TokioRuntimeProvider};
use hickory_resolver::Resolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::world::{Server, World, deny_all, rotate_under_traffic};

/// The resolver's TCP is our TLS: DNS over TLS frames messages as DNS over TCP does (RFC 7858 section 3.3).
#[derive(Clone)]
struct DnsOverMutualTls {
    connector: Connector<DnsName>,
    tokio: TokioRuntimeProvider,
}

impl RuntimeProvider for DnsOverMutualTls {
    type Handle = TokioHandle;
    type Timer = <TokioRuntimeProvider as RuntimeProvider>::Timer;
    type Udp = <TokioRuntimeProvider as RuntimeProvider>::Udp;
    type Tcp = AsyncIoTokioAsStd<TlsStream<TcpStream, DnsName>>;

    fn create_handle(&self) -> Self::Handle {
        self.tokio.create_handle()
    }

    fn connect_tcp(
        &self,
        server: SocketAddr,
        _: Option<SocketAddr>,
        _: Option<Duration>,
    ) -> Pin<Box<dyn Future<Output = io::Result<Self::Tcp>> + Send>> {
        let connector = self.connector.clone();
        Box::pin(async move {
            let tcp = TcpStream::connect(server).await?;
            let stream = connector.connect("localhost", tcp).await;
            stream.map(AsyncIoTokioAsStd).map_err(io::Error::other)
        })
    }

    /// Nothing leaves TLS.
    fn bind_udp(
        &self,
        _: SocketAddr,
        _: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = io::Result<Self::Udp>> + Send>> {
        Box::pin(async { Err(io::ErrorKind::Unsupported.into()) })
    }
}

fn resolver(connector: &Connector<DnsName>, port: u16) -> Resolver<DnsOverMutualTls> {
    let mut connection = ConnectionConfig::tcp();
    connection.port = port;
    let server = NameServerConfig::new(IpAddr::from([127, 0, 0, 1]), true, vec![connection]);
    let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
    let provider = DnsOverMutualTls {
        connector: connector.clone(),
        tokio: TokioRuntimeProvider::new(),
    };
    let mut builder = Resolver::builder_with_config(config, provider);
    builder.options_mut().attempts = 1;
    builder.build().unwrap()
}

/// Asks for a name that was not asked for before.
async fn ask(resolver: &Resolver<DnsOverMutualTls>) -> Result<(), NetError> {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let number = ASKED.fetch_add(1, Ordering::SeqCst);
    let found = resolver.lookup_ip(format!("a{number}.example.")).await?;
    assert_eq!(found.iter().next(), Some(IpAddr::from([192, 0, 2, 1])));
    Ok(())
}

/// Has an address for each name of IPv4, and none of IPv6.
async fn serve(world: &World) -> Server {
    world
        .serve(async |mut stream| {
            // The client closes it.
            let _ = answer(&mut stream).await;
        })
        .await
}

async fn answer(stream: &mut TlsStream<TcpStream, DnsName>) -> io::Result<()> {
    loop {
        let mut request = vec![0; stream.read_u16().await?.into()];
        stream.read_exact(&mut request).await?;
        let mut end = 12;
        while request[end] != 0 {
            end += 1 + usize::from(request[end]);
        }
        end += 5; // with its end, type and class
        let is_ipv4 = request[end - 4..end - 2] == [0, 1];
        let mut answer = request[..2].to_vec();
        answer.extend([0x81, 0x80, 0, 1, 0, u8::from(is_ipv4), 0, 0, 0, 0]);
        answer.extend(&request[12..end]);
        if is_ipv4 {
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]);
        }
        stream.write_u16(answer.len().try_into().unwrap()).await?;
        stream.write_all(&answer).await?;
        stream.flush().await?;
    }
}

#[tokio::test]
async fn allowed_and_denied() {
    let world = World::new();
    let server = serve(&world).await;
    let alice = world.connector();
    let resolver_of_alice = resolver(&alice, server.port);
    ask(&resolver_of_alice).await.unwrap();
    assert!(!alice.control().connections().is_empty());
    world.trail.take();
    for (connector, reason) in [
        (world.denying(), "denied"),
        (world.distrusting(), "unknown_issuer"),
    ] {
        assert!(ask(&resolver(&connector, server.port)).await.is_err());
        assert!(world.reasons().contains(&Some(reason)));
    }
    // The open connection is cut, and no other comes about.
    alice.control().set_policy(deny_all);
    assert!(ask(&resolver_of_alice).await.is_err());
    assert!(alice.control().connections().is_empty());
    let silent = world.serve_without_asking().await;
    world.trail.take();
    assert!(ask(&resolver(&world.connector(), silent)).await.is_err());
    assert!(world.reasons().contains(&Some("not_asked")));
}

#[tokio::test]
async fn no_query_is_lost_while_credentials_are_replaced() {
    let world = World::new();
    let server = serve(&world).await;
    let alice = world.connector();
    let sent =
        rotate_under_traffic(&world, &alice, async || resolver(&alice, server.port), ask).await;
    println!("hickory-resolver: {sent} queries, 5 rotations");
    assert!(alice.control().stats().admitted >= 6);
}
