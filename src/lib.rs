#![cfg_attr(docsrs, feature(doc_cfg))]
//! Mutual TLS for Rust services: mandatory client certificates, typed identities, and a policy of
//! your own, over [rustls].
//!
//! A *countersign* is the word that a sentry and the one who approaches must both give. This crate
//! makes that true of connections: **nobody gets a byte through until each side has proved who it
//! is, and your own code has said yes.**
//!
//! ```
//! use countersign::{Acceptor, Credentials, Decision, Peer, Policy, TrustStore, identity::SpiffeId};
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
//! # The four decisions
//!
//! A builder asks for them one after the other, and there is no acceptor or connector without
//! them:
//!
//! 1. **credentials** — who we are: [`Credentials`], a certificate chain and its private key.
//! 2. **trust** — whom we believe: [`TrustStore`], roots and pins.
//! 3. **identify** — how a certificate names its holder: an
//!    [`IdentityExtractor`](identity::IdentityExtractor) such as
//!    [`SpiffeId::extractor()`](identity::SpiffeId::extractor), or a closure.
//! 4. **authorize** — who may connect: a [`Policy`], a closure, or an
//!    [`AsyncPolicy`](policy::AsyncPolicy) with a timeout.
//!
//! Everything else is an option of the [`builder`], with a safe default: TLS 1.3 only, a handshake
//! timeout of ten seconds, resumption without early data, post-quantum key exchange preferred.
//! [`Connector`] is [`Acceptor`] word for word, plus the name of the server.
//!
//! # What happens to a connection
//!
//! Chain, identity and policy are three steps of one [`Gate`], in this order, for every connection
//! of either side. The chain is verified inside the handshake; identity and policy wait until the
//! peer has **proven** that it owns its key, because a certificate can be shown by anybody. A peer
//! that is refused then still gets the TLS alert that says why: `access_denied`. A **resumed**
//! session goes through all three steps again: rustls does not call a verifier for it, so its
//! restored chain is verified by the gate. A chain that was verified before is remembered, until
//! trust or CRLs change or something of it expires, so that this costs microseconds.
//!
//! Whatever is in doubt is refused: two values where one is wanted, a policy that panics or does
//! not answer in time, an extractor that fails, a clock without a time. See [`AcceptError`] and
//! [`ConnectError`]: every error has a stable `reason()` for programs and one line for people.
//! [`manual::troubleshooting`] begins at the other end: with what a refused client prints.
//! [`manual::threat_model`] has each promise with its attacker, mechanism and test.
//!
//! A peer that is refused learns nothing but an alert. When it is we who are refused, the alert
//! becomes a [`PeerAlert`]: which certificate of ours, why, and what to do. Where a chain's line is not
//! enough, [`diagnose`](mod@diagnose) goes through it step by step.
//!
//! # What happens while it is open
//!
//! A `TlsStream` is judged again whenever policy, trust, CRLs or deny list change, and cut if its peer
//! is no longer admitted; when a certificate of the peer's path expires, it is asked to drain
//! first. `Acceptor::connections` lists the open ones. `Listener` is the accept loop around an acceptor,
//! and `reload` keeps credentials, trust, CRLs, policy and deny list at what their files say.
//!
//! A task on the runtime of the first of them keeps the time of all open connections: a program with
//! several runtimes opens connections first on one that lives as long as they do.
//!
//! # What is told of it
//!
//! Every attempt has one event with its outcome, and every later change of an open connection one:
//! see [`audit`]. By default they go to [`tracing`]; the builder's `audit` takes another sink, such as
//! lines of JSON. [`Acceptor::stats`] counts.
//!
//! # Under the frameworks
//!
//! [`integration`] has it ready for the crates that people serve and call HTTP by, one line each.
//!
//! # Without tokio
//!
//! The core does no I/O. With `default-features = false` and a provider (`ring` or `aws-lc-rs`),
//! drive a [`rustls::ServerConnection`] with [`Acceptor::unauthorized_rustls_config`] and ask [`Gate::admit`];
//! on the client's side use [`Connector::start`]. For QUIC there is [`Gate::admit_chain`]. Such
//! connections are judged once, when you ask.
//!
//! # Features
//!
//! | feature | default | effect |
//! |---|---|---|
//! | `aws-lc-rs` | yes | cryptography by aws-lc-rs, with X25519MLKEM768 preferred |
//! | `tokio` | yes | [`Acceptor::accept`], [`Connector::connect`], `Listener`, open connections judged again, `reload`, async policies |
//! | `ring` | | cryptography by ring; used where `aws-lc-rs` is off |
//! | `fips` | | the FIPS build of aws-lc-rs |
//! | `webpki-roots` | | `TrustStore::webpki_roots`, for clients of public servers |
//! | `serde` | | identities serialize as their text |
//! | `spiffe-bundle` | | `TrustStore::from_spiffe_bundle`, the JSON of SPIFFE trust domains |
//! | `notify` | | `Reload::file_events`: changed files are noticed at once |
//! | `audit-json` | | `audit::Json`: audit events as lines of JSON in the Elastic Common Schema |
//! | `metrics` | | figures for the recorder of the `metrics` facade |
//! | `hyper` | | `integration::hyper`: a server of HTTP/1.1 and HTTP/2, and a client |
//! | `axum` | | [`Peer`] as an argument of handlers, and `Listener` under `axum::serve` |
//! | `tower` | | `integration::tower`: who may send which request, by method and path |
//! | `tonic` | | `integration::tonic`: gRPC, by tonic: its server on our `Listener`, the [`Peer`] of its requests, and a channel for its clients |
//! | `http` | | `integration::http`: the peer in the extensions of requests and in the headers of forwarded ones; `Certificate::x5t_s256`; on with the features above |
//! | `testing` | | the module `testing`: a test CA, a fixed clock, handshakes in memory |
//!
//! Features add and never alter. rustls' process-wide default provider is never consulted.
//!
//! # Testing your policy
//!
//! With the feature `testing`, a policy is tested without a handshake (`testing::peer`), or with
//! one in memory (`testing::handshake`), with certificates that a `testing::TestCa` issues.

pub mod audit;
mod client;
pub mod diagnose;
mod diagnostic;
pub mod gate;
pub mod identity;
pub mod integration;
#[cfg(doc)]
pub mod manual;
mod peer;
pub mod pki;
pub mod policy;
#[cfg(feature = "tokio")]
pub mod reload;
mod server;
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
pub use gate::Gate;
pub use peer::{ConnectionInfo, Peer};
pub use pki::{Certificate, Credentials};
pub use policy::{Decision, Policy};
pub use server::{AcceptError, Acceptor, ShedReason};
#[cfg(feature = "tokio")]
pub use server::{EarlyDrop, Incoming, Listener, ListenerBuilder, ListenerHandle, WhenFull};
#[cfg(feature = "tokio")]
pub use stream::{AlertWatch, DrainSignal, TlsStream};
pub use tls::{BuildError, HandshakeError, PeerAlert, Resumption, Update, builder};
pub use trust::TrustStore;

/// The README's examples are compiled with the documentation's.
#[cfg(all(doctest, feature = "tokio", feature = "testing"))]
#[doc = include_str!("../README.md")]
struct Readme;
