//! What QUIC costs with countersign, beside quinn with its own TLS, in one run.
//!
//! `cargo bench -p countersign-benches --bench quic` prints a table at the end.
//!
//! Client and server are in one process, over loopback, on one thread. Both pairs present certificates and verify
//! them; quinn's pair asks no policy and records nothing. The pairs take turns, and a ratio is the median over such
//! rounds, so that load on the machine slows both equally.
//!
//! * **full**, **resumed**: from `connect` until the end of a short answer.
//! * **bulk**: a stream of zeros from the client to the server.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use countersign::identity::DnsName;
use countersign::integration::quinn::{Client, Listener};
use countersign::testing::{Issued, TestCa};
use countersign::{Acceptor, Connector, Resumption, policy};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const ALPN: &str = "bench/1";
const NAME: &str = "server.example";

fn main() -> Result<(), Error> {
    let is_test = !std::env::args().any(|argument| argument == "--bench");
    let effort = if is_test {
        Effort {
            rounds: 2,
            handshakes: 2,
            bulk: 1 << 20,
        }
    } else {
        Effort {
            rounds: 40,
            handshakes: 25,
            bulk: 32 << 20,
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let measured = runtime.block_on(measure(&effort))?;
    if !is_test {
        println!("| | quinn | countersign | ratio |\n|---|---|---|---|");
        for (name, raw, ours, ratio) in measured {
            println!("| {name} | {raw:.1?} | {ours:.1?} | {ratio:.3} |");
        }
    }
    Ok(())
}

type Error = Box<dyn std::error::Error + Send + Sync>;

struct Effort {
    rounds: usize,
    /// In a round.
    handshakes: u32,
    /// In bytes, in a round.
    bulk: usize,
}

async fn measure(effort: &Effort) -> Result<Vec<(&'static str, Duration, Duration, f64)>, Error> {
    let ca = TestCa::new("Root");
    let server = ca.leaf().dns(NAME).issue();
    let client = ca.leaf().dns("client.example").issue();
    let mut table = Vec::new();
    for (name, resumes) in [("full handshake", false), ("resumed handshake", true)] {
        let raw = Raw::new(&ca, &server, &client, resumes)?;
        let ours = Ours::new(&ca, &server, &client, resumes)?;
        let mut rounds = Vec::new();
        raw.call().await?; // the first session
        ours.call().await?;
        for _ in 0..effort.rounds {
            let raw = repeated(effort.handshakes, || raw.call()).await?;
            let ours = repeated(effort.handshakes, || ours.call()).await?;
            rounds.push((raw, ours));
        }
        if resumes {
            let resumed = ours.acceptor.control().stats().resumed;
            assert!(resumed > 0, "no session was resumed");
        }
        table.push(summary(name, rounds));
    }
    let raw = Raw::new(&ca, &server, &client, false)?;
    let ours = Ours::new(&ca, &server, &client, false)?;
    let mut rounds = Vec::new();
    for _ in 0..effort.rounds.min(20) {
        let raw = repeated(1, || raw.send(effort.bulk)).await?;
        let ours = repeated(1, || ours.send(effort.bulk)).await?;
        rounds.push((raw, ours));
    }
    table.push(summary("bulk", rounds));
    Ok(table)
}

/// The mean time of one.
async fn repeated<F>(count: u32, run: impl Fn() -> F) -> Result<Duration, Error>
where
    F: Future<Output = Result<(), Error>>,
{
    let began = Instant::now();
    for _ in 0..count {
        run().await?;
    }
    Ok(began.elapsed() / count)
}

/// The medians of the times, and of their ratio.
fn summary(
    name: &'static str,
    rounds: Vec<(Duration, Duration)>,
) -> (&'static str, Duration, Duration, f64) {
    let middle = rounds.len() / 2;
    let (mut raw, mut ours, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for (of_raw, of_ours) in rounds {
        ratios.push(of_ours.as_secs_f64() / of_raw.as_secs_f64());
        raw.push(of_raw);
        ours.push(of_ours);
    }
    raw.sort_unstable();
    ours.sort_unstable();
    ratios.sort_unstable_by(f64::total_cmp);
    (name, raw[middle], ours[middle], ratios[middle])
}

/// quinn, with its own TLS.
struct Raw {
    endpoint: quinn::Endpoint,
    address: std::net::SocketAddr,
}

impl Raw {
    fn new(ca: &TestCa, server: &Issued, client: &Issued, resumes: bool) -> Result<Self, Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(ca.certificate_der())?;
        let roots = Arc::new(roots);
        let resolver = |issued: &Issued| {
            let key = provider.key_provider.load_private_key(issued.key_der())?;
            let chain = issued.chain().to_vec();
            Ok::<_, Error>(Arc::new(SingleCertAndKey::from(CertifiedKey::new(
                chain, key,
            ))))
        };
        let verifier =
            WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone()).build()?;
        let mut config = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(resolver(server)?);
        config.alpn_protocols = vec![ALPN.into()];
        if !resumes {
            config.send_tls13_tickets = 0;
        }
        let config = Arc::new(QuicServerConfig::try_from(config)?);
        let listener = quinn::Endpoint::server(
            quinn::ServerConfig::with_crypto(config),
            ([127, 0, 0, 1], 0).into(),
        )?;
        let address = listener.local_addr()?;
        tokio::spawn(async move {
            while let Some(incoming) = listener.accept().await {
                tokio::spawn(async move {
                    let Ok(connection) = incoming.await else {
                        return;
                    };
                    while let Ok((mut send, mut receive)) = connection.accept_bi().await {
                        let mut space = vec![0; 64 * 1024];
                        while let Ok(Some(_)) = receive.read(&mut space).await {}
                        if send.write_all(b"done").await.is_err() || send.finish().is_err() {
                            return;
                        }
                    }
                });
            }
        });
        let mut config = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_client_cert_resolver(resolver(client)?);
        config.alpn_protocols = vec![ALPN.into()];
        let config = Arc::new(QuicClientConfig::try_from(config)?);
        let mut endpoint = quinn::Endpoint::client(([127, 0, 0, 1], 0).into())?;
        endpoint.set_default_client_config(quinn::ClientConfig::new(config));
        Ok(Self { endpoint, address })
    }

    async fn call(&self) -> Result<(), Error> {
        self.send(1).await
    }

    async fn send(&self, bytes: usize) -> Result<(), Error> {
        let connection = self.endpoint.connect(self.address, NAME)?.await?;
        let (mut send, mut receive) = connection.open_bi().await?;
        send.write_all(&vec![0; bytes]).await?;
        send.finish()?;
        receive.read_to_end(8).await?;
        Ok(())
    }
}

/// countersign.
struct Ours {
    acceptor: Acceptor<DnsName>,
    client: Client<DnsName>,
    address: std::net::SocketAddr,
}

impl Ours {
    fn new(ca: &TestCa, server: &Issued, client: &Issued, resumes: bool) -> Result<Self, Error> {
        // The same key exchange on both pairs.
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let resumption = match resumes {
            true => Resumption::Stateful,
            false => Resumption::Off,
        };
        let acceptor = Acceptor::builder()
            .credentials(server.credentials())
            .trust(ca.trust())
            .identify(DnsName::extractor())
            .authorize(policy::allow_any())
            .crypto_provider(provider.clone())
            .resumption(resumption)
            .build()?;
        let mut listener = Listener::builder(acceptor.clone())
            .alpn([ALPN])
            .bind(([127, 0, 0, 1], 0).into())?;
        let address = listener.local_addr()?;
        tokio::spawn(async move {
            while let Some(connection) = listener.accept().await {
                tokio::spawn(async move {
                    while let Ok((mut send, mut receive)) = connection.accept_bi().await {
                        let mut space = vec![0; 64 * 1024];
                        while receive.read(&mut space).await.is_ok_and(|read| read > 0) {}
                        if send.write_all(b"done").await.is_err() || send.finish().is_err() {
                            return;
                        }
                    }
                });
            }
        });
        let connector = Connector::builder()
            .credentials(client.credentials())
            .trust(ca.trust())
            .identify(DnsName::extractor())
            .authorize(policy::allow_any())
            .crypto_provider(provider)
            .resumption(resumption)
            .build()?;
        let client = Client::builder(connector)
            .alpn([ALPN])
            .bind(([127, 0, 0, 1], 0).into())?;
        Ok(Self {
            acceptor,
            client,
            address,
        })
    }

    async fn call(&self) -> Result<(), Error> {
        self.send(1).await
    }

    async fn send(&self, bytes: usize) -> Result<(), Error> {
        let connection = self.client.connect(self.address, NAME).await?;
        let (mut send, mut receive) = connection.open_bi().await?;
        send.write_all(&vec![0; bytes]).await?;
        send.finish()?;
        receive.read_to_end(&mut Vec::new()).await?;
        Ok(())
    }
}
