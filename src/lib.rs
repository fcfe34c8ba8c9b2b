#![cfg_attr(docsrs, feature(doc_cfg))]
// Without tokio there are no open connections, and part of the core serves only those.
#![cfg_attr(not(feature = "tokio"), allow(dead_code, unused_imports))]
//! Mutual TLS for Rust services, over [rustls](https://docs.rs/rustls): client certificates are
//! mandatory, a certificate becomes a typed identity, and a policy that you write decides which peers
//! may connect.
//!
//! **No application byte passes before each side has proved its identity and your code has allowed
//! it.** (A *countersign* is the word that a sentry and an approaching soldier both have to give.)
//!
//! ```
//! use countersign::identity::SpiffeId;
//! use countersign::{Acceptor, Credentials, Decision, Peer, Policy, TrustStore};
//!
//! struct Orders;
//!
//! impl Policy<SpiffeId> for Orders {
//!     fn authorize(&self, peer: &Peer<SpiffeId>) -> Decision {
//!         if peer.identity().path().starts_with("/ns/billing/") {
//!             Decision::allow("billing")
//!         } else {
//!             Decision::deny("only billing may call orders")
//!         }
//!     }
//! }
//!
//! # #[cfg(feature = "tokio")]
//! async fn serve(tcp: tokio::net::TcpStream) -> Result<(), Box<dyn std::error::Error>> {
//!     let acceptor = Acceptor::builder()
//!         .credentials(Credentials::from_pem_files("server.crt", "server.key")?)
//!         .trust(TrustStore::from_pem_file("clients-ca.crt")?)
//!         .identify(SpiffeId::extractor())
//!         .authorize(Orders)
//!         .build()?;
//!
//!     let stream = acceptor.accept(tcp).await?; // TlsStream<TcpStream, SpiffeId>
//!     println!("hello {}", stream.peer().identity());
//!     Ok(())
//! }
//! ```
//!
//! The [`manual`] starts with [getting started](manual::getting_started). Its other pages are about
//! [identities](manual::identities), [policies](manual::policies),
//! [trust and revocation](manual::trust_and_revocation), [rotation](manual::rotation), [keys in hardware](manual::hardware_keys),
//! [live connections](manual::live_connections), [HTTP](manual::http), [proxies](manual::proxies),
//! [gRPC](manual::grpc),
//! [clients](manual::clients), [drivers](manual::drivers), [QUIC and blocking](manual::quic_and_blocking),
//! [post-quantum cryptography](manual::post_quantum), [FIPS](manual::fips),
//! [observability](manual::observability), [performance](manual::performance),
//! [troubleshooting](manual::troubleshooting), the [threat model](manual::threat_model),
//! [published bugs of other systems](manual::known_bugs), [dependencies](manual::dependencies),
//! [migration](manual::migration) and the [architecture](manual::architecture).
//!
//! # The four decisions
//!
//! A builder asks for them one after the other. A program that leaves one out does not compile:
//!
//! 1. **credentials**: our certificate chain and its private key, [`Credentials`].
//! 2. **trust**: the roots and pins that vouch for peers, [`TrustStore`].
//! 3. **identify**: how a certificate names its holder, an
//!    [`IdentityExtractor`](identity::IdentityExtractor) such as
//!    [`SpiffeId::extractor()`](identity::SpiffeId::extractor), or a closure.
//! 4. **authorize**: which peers may connect, a [`Policy`], a closure, or an
//!    [`AsyncPolicy`](policy::AsyncPolicy) with a timeout.
//!
//! Everything else is an option of the [`builder`], with a safe default: TLS 1.3 only, a handshake
//! timeout of 10 s, resumption without early data, post-quantum key exchange preferred.
//! [`Connector`] has the same builder, and the name of the server.
//!
//! # What happens to a connection
//!
//! Chain, identity and policy are three steps of one gate, in this order, for every connection of
//! either side. The chain is verified inside the handshake. Identity and policy wait until the peer
//! has **proved** that it owns its key, because anyone can present a certificate. A peer that is
//! rejected then still receives the fitting TLS alert, `access_denied`.
//!
//! A **resumed** session passes all three steps again: rustls calls no verifier for it, so the gate
//! verifies its restored chain. A chain that was verified before is remembered until trust or CRLs
//! change or one of its certificates expires, so that this takes microseconds.
//!
//! Doubt denies: two values where one is expected, a policy that panics or does not answer in time, an
//! extractor that fails, a clock without a time. Every error, such as [`AcceptError`] and
//! [`ConnectError`], has a stable `reason()` for programs and one line for people; [`Diagnostic`] has
//! its cause and its remedy. When the peer rejects *us*, its alert becomes a [`PeerAlert`], with our
//! certificate, the cause and the remedy. [`diagnose`](mod@diagnose) examines a chain step by step.
//!
//! # While a connection is open
//!
//! A `TlsStream` is re-authorized whenever policy, trust, CRLs or deny list change, and is closed if its
//! peer is no longer admitted. When a certificate of the peer's path expires, it is asked to drain
//! first. `Control::connections` lists open connections. `Listener` is the accept loop around an
//! acceptor, and `reload` keeps credentials, trust, CRLs, policy and deny list in step with files and streams.
//!
//! # Audit
//!
//! Every attempt has one event with its outcome, and every later change of an open connection has one:
//! see [`audit`]. By default they go to [`tracing`](https://docs.rs/tracing); the builder's `audit` takes another sink, such as
//! lines of JSON. [`Control::stats`] counts.
//!
//! # Frameworks
//!
//! [`integration`] connects hyper, axum, tower, tonic, quinn (QUIC), reqwest, tokio-postgres and SPIFFE agents, in one line each.
//!
//! # Without tokio
//!
//! The core does no I/O. With `default-features = false` and a provider (`ring` or `aws-lc-rs`), drive a
//! `rustls::ServerConnection` with [`Acceptor::unauthorized_rustls_config`] and ask [`Control::admit`]; on
//! the client's side use [`Connector::start`]. For a QUIC library other than quinn there is
//! [`Control::admit_chain`]. Such connections are authorized once, when you ask.
//!
//! # Features
//!
//! | feature | default | effect |
//! |---|---|---|
//! | `aws-lc-rs` | yes | cryptography by aws-lc-rs, with X25519MLKEM768 preferred |
//! | `tokio` | yes | [`Acceptor::accept`], [`Connector::connect`], `Listener`, re-authorization of open connections, `reload`, async policies, timeouts |
//! | `ring` | | cryptography by ring; the default provider where `aws-lc-rs` is off |
//! | `fips` | | the FIPS 140-3 build of aws-lc-rs (needs CMake and Go to build): see [FIPS](manual::fips) |
//! | `pkcs11` | | `Credentials::from_pkcs11`: private keys in HSMs, smart cards and TPMs |
//! | `webpki-roots` | | `TrustStore::webpki_roots`, for clients of public servers |
//! | `serde` | | identities serialize as their text, and deserialize through the same grammar |
//! | `stream` | | `reload::Source::stream` and `reload::retry`: parts that follow streams |
//! | `spiffe` | | `integration::spiffe`: credentials, trust and CRLs from a SPIFFE agent such as SPIRE's |
//! | `spiffe-bundle` | | `TrustStore::from_spiffe_bundle`, the JSON of SPIFFE trust domains |
//! | `notify` | | `Reload::file_events`: changed files are noticed at once |
//! | `audit-json` | | `audit::Json`: audit events as lines of JSON in the Elastic Common Schema |
//! | `metrics` | | figures for the recorder of the `metrics` facade |
//! | `hyper` | | `integration::hyper`: a server of HTTP/1.1 and HTTP/2 with the peer in each request, and a client |
//! | `axum` | | [`Peer`] as an argument of handlers, and `Listener` under `axum::serve` |
//! | `tower` | | `integration::tower`: rules by method and path |
//! | `tonic` | | `integration::tonic`: gRPC on our `Listener`, the [`Peer`] of a request, and a channel for clients |
//! | `reqwest` | | `integration::reqwest`: a handle for reqwest that rotates while it is busy |
//! | `tokio-postgres` | | `integration::tokio_postgres`: connections to PostgreSQL that are re-authorized, cut and drained |
//! | `quinn` | | `integration::quinn`: QUIC connections behind the same gate, listed, re-authorized, drained and cut as those of TCP |
//! | `http` | | `integration::http`: the peer in the extensions of requests and in the headers of forwarded ones, the client behind a proxy; `Certificate::x5t_s256`; on with the features above |
//! | `testing` | | the module `testing`: a test CA, a fixed clock, handshakes in memory |
//!
//! Features add and never alter. rustls' process-wide default provider is never consulted.

pub mod audit;
mod client;
pub mod diagnose;
mod diagnostic;
mod endpoint;
pub mod gate;
pub mod identity;
pub mod integration;
#[cfg(feature = "tokio")]
pub mod live;
#[cfg(doc)]
pub mod manual;
mod peer;
pub mod pki;
pub mod policy;
#[cfg(feature = "tokio")]
pub mod reload;
mod server;
mod side;
#[cfg(feature = "tokio")]
mod stream;
mod tls;
pub mod trust;

#[cfg(all(feature = "testing", any(feature = "aws-lc-rs", feature = "ring")))]
pub mod testing;

pub use rustls;
pub use rustls_pki_types as pki_types;

pub use client::{ClientHandshake, ConnectError, Connector};
pub use diagnostic::Diagnostic;
pub use endpoint::{Control, Update, builder};
pub use peer::{ConnectionInfo, Peer};
pub use pki::{Certificate, Credentials};
pub use policy::{Decision, Policy};
pub use server::{
    AcceptError, Acceptor, PreambleError, ServerHandshake, ShedReason, proxy_protocol,
};
#[cfg(feature = "tokio")]
pub use server::{
    DirectTls, EarlyDrop, Incoming, Listener, ListenerBuilder, ListenerHandle, Preamble,
    RawConnection, WhenFull,
};
pub use side::Side;
#[cfg(feature = "tokio")]
pub use stream::{AlertWatch, DrainSignal, TlsStream};
#[cfg(fuzzing)]
pub use tls::fuzzing;
pub use tls::{
    BuildError, CipherOrder, FipsError, HandshakeError, PeerAlert, PostQuantumError, Resumption,
    RootHints,
};
pub use trust::TrustStore;

/// The README's example is compiled with the documentation's.
#[cfg(all(doctest, feature = "axum", feature = "tokio"))]
#[doc = include_str!("../README.md")]
struct Readme;
