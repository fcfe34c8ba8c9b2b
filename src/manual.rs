//! The manual, one page per module.
//!
//! The pages hold no code of their own; every example on them is compiled with the tests.
//!
//! | to | read |
//! |---|---|
//! | build a first server and client | [`getting_started`] |
//! | choose what identifies a peer | [`identities`] |
//! | decide which peers may connect | [`policies`] |
//! | choose roots, pins and CRLs | [`trust_and_revocation`] |
//! | replace certificates without a restart | [`rotation`] |
//! | keep private keys in HSMs, TPMs and key services | [`hardware_keys`] |
//! | run several servers with one deny list | [`fleet`] |
//! | serve, limit, drain and close connections | [`live_connections`] |
//! | serve HTTP | [`http`] |
//! | serve behind a proxy or load balancer | [`proxies`] |
//! | put certificates before an AI gateway | [`ai_gateways`] |
//! | serve and call gRPC | [`grpc`] |
//! | call servers | [`clients`] |
//! | connect to databases and brokers | [`drivers`] |
//! | work without tokio, or over QUIC | [`quic_and_blocking`] |
//! | resist quantum computers | [`post_quantum`] |
//! | use a FIPS 140-3 module | [`fips`] |
//! | serve and call over QUIC, or work without tokio | [`quic_and_blocking`] |
//! | record and count what happens | [`observability`] |
//! | know what it costs | [`performance`] |
//! | find out why a connection is refused | [`troubleshooting`] |
//! | read what a refusal says about a file | [`refusals`] |
//! | know what is promised, and what is not | [`threat_model`] |
//! | compare with published bugs of other systems | [`known_bugs`] |
//! | know which lines the tests hold | [`mutation_testing`] |
//! | know what the crate depends on | [`dependencies`] |
//! | replace another TLS setup | [`migration`] |
//! | understand or change the crate | [`architecture`] |

// Pages link to items of optional features. The documentation on docs.rs has all of them.
#![cfg_attr(
    not(all(
        feature = "tokio",
        feature = "testing",
        feature = "audit-json",
        feature = "metrics",
        feature = "notify",
        feature = "pkcs11",
        feature = "spiffe-bundle",
        feature = "webpki-roots",
        feature = "tower",
        feature = "hyper",
        feature = "axum",
        feature = "tonic",
        feature = "stream",
        feature = "spiffe",
        feature = "reqwest",
        feature = "tokio-postgres",
        feature = "quinn"
    )),
    allow(rustdoc::broken_intra_doc_links)
)]

/// From an empty folder to a server that authorizes its clients.
///
#[doc = include_str!("../manual/links.md")]
#[doc = include_str!("../manual/getting_started.md")]
pub mod getting_started {}

/// What identifies a peer, and how a certificate is read.
///
#[doc = include_str!("../manual/links.md")]
#[doc = include_str!("../manual/identities.md")]
pub mod identities {}

/// Which peers may connect: rules, combinations, slow policies, and how to test them.
///
#[doc = include_str!("../manual/links.md")]
#[doc = include_str!("../manual/policies.md")]
pub mod policies {}

/// Roots, pins, trust domains, CRLs and deny lists.
///
#[doc = include_str!("../manual/links.md")]
#[doc = include_str!("../manual/trust_and_revocation.md")]
pub mod trust_and_revocation {}

/// New certificates, roots, CRLs and policies without a restart.
///
#[doc = include_str!("../manual/links.md")]
#[doc = include_str!("../manual/rotation.md")]
pub mod rotation {}

/// Private keys in HSMs, TPMs and key services, and what a slow one costs.
///
#[doc = include_str!("../manual/links.md")]
#[doc = include_str!("../manual/hardware_keys.md")]
pub mod hardware_keys {}

/// The accept loop, limits, draining, and rules that reach open connections.
///
#[doc = include_str!("../manual/links.md")]
#[doc = include_str!("../manual/live_connections.md")]
pub mod live_connections {}

/// HTTP servers: hyper, axum, tower, and servers behind a proxy.
///
#[doc = include_str!("../manual/links.md")]
#[doc = include_str!("../manual/http.md")]
pub mod http {}

/// The PROXY protocol, STARTTLS, and identities from a proxy.
///
#[doc = include_str!("../manual/links.md")]
#[doc = include_str!("../manual/proxies.md")]
pub mod proxies {}

/// Portkey, LiteLLM and API managers: models, rates and tokens by identity, and models that require a certificate.
///
#[doc = include_str!("../manual/links.md")]
#[doc = include_str!("../manual/ai_gateways.md")]
pub mod ai_gateways {}

/// Several servers that follow one deny list, one set of rules and CRLs, by NATS or Redis.
///
#[doc = include_str!("../manual/links.md")]
#[doc = include_str!("../manual/fleet.md")]
pub mod fleet {}

/// gRPC servers and clients, with tonic.
///
#[doc = include_str!("../manual/links.md")]
#[doc = include_str!("../manual/grpc.md")]
pub mod grpc {}

/// Clients: streams, HTTP, reqwest, pools and rotation.
///
#[doc = include_str!("../manual/links.md")]
#[doc = include_str!("../manual/clients.md")]
pub mod clients {}

/// Drivers of databases, brokers and other protocols.
///
#[doc = include_str!("../manual/links.md")]
#[doc = include_str!("../manual/drivers.md")]
pub mod drivers {}

/// Connections that the application drives: blocking rustls and QUIC.
/// QUIC, and connections that the application drives with blocking rustls.
///
#[doc = include_str!("../manual/links.md")]
#[doc = include_str!("../manual/quic_and_blocking.md")]
pub mod quic_and_blocking {}

/// Post-quantum key exchange and identities: the rule, the sizes, the peers and the dates.
///
#[doc = include_str!("../manual/links.md")]
#[doc = include_str!("../manual/post_quantum.md")]
pub mod post_quantum {}

/// FIPS 140-3: the option that demands it, the certificates, and what remains to the deployer.
///
#[doc = include_str!("../manual/links.md")]
#[doc = include_str!("../manual/fips.md")]
pub mod fips {}

/// Audit events, counts and metrics, and what a refusal says.
///
#[doc = include_str!("../manual/links.md")]
#[doc = include_str!("../manual/observability.md")]
pub mod observability {}

/// What handshakes, policies, lists and features cost, with the commands that measure it.
///
#[doc = include_str!("../manual/links.md")]
#[doc = include_str!("../manual/performance.md")]
pub mod performance {}

/// What a refused client prints, why, and the remedy.
///
#[doc = include_str!("../manual/troubleshooting.md")]
pub mod troubleshooting {}

/// Twenty certificates, keys and CRLs that are refused, and what each refusal says.
///
#[doc = include_str!("../manual/refusals.md")]
pub mod refusals {}

/// What is promised, against which attacker, by which mechanism, and what is not promised.
///
#[doc = include_str!("../manual/links.md")]
#[doc = include_str!("../manual/threat_model.md")]
pub mod threat_model {}

/// Published bugs of other systems, and the test that shows that this crate does not have them.
///
#[doc = include_str!("../manual/links.md")]
#[doc = include_str!("../manual/known_bugs.md")]
pub mod known_bugs {}

/// The small changes of the code that no test notices, and why.
///
#[doc = include_str!("../manual/links.md")]
#[doc = include_str!("../manual/mutation_testing.md")]
pub mod mutation_testing {}

/// Every crate that this one depends on: the audited version, unsafe code, and what it reads of a peer.
///
#[doc = include_str!("../manual/links.md")]
#[doc = include_str!("../manual/dependencies.md")]
pub mod dependencies {}

/// From tokio-rustls, axum-server, tonic's TLS, spiffe-rustls or a sidecar.
///
#[doc = include_str!("../manual/links.md")]
#[doc = include_str!("../manual/migration.md")]
pub mod migration {}

/// How the crate is built: layers, snapshot, attempt, path building, late alert, dependencies.
///
#[doc = include_str!("../manual/links.md")]
#[doc = include_str!("../manual/architecture.md")]
pub mod architecture {}
