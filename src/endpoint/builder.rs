//! The builder of both sides: four required decisions, then options.
//!
//! Each decision is a type of its own, and only [`Builder`] has `build`. So the compiler rejects an
//! acceptor without a policy:
//!
//! ```compile_fail
//! # fn f(credentials: countersign::Credentials, trust: countersign::TrustStore) {
//! use countersign::{Acceptor, identity::SpiffeId};
//!
//! // no method named `build` found for struct `NeedsPolicy`
//! let acceptor = Acceptor::builder()
//!     .credentials(credentials)
//!     .trust(trust)
//!     .identify(SpiffeId::extractor())
//!     .build();
//! # }
//! ```

use std::fmt;
use std::hash::Hash;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls::{ClientConfig, KeyLog, ServerConfig};
use rustls_pki_types::UnixTime;

use super::checks::OwnWarnings;
use super::cryptography::{self, Requirements, Settings};
use super::side::TlsRole;
pub use super::side::{ClientSide, Role, ServerSide};
use super::{Bounds, Control, Endpoint, Parts, Sources};
use crate::audit::{self, AuditSink, Describe, REFUSALS_PER_SECOND, Recorder};
use crate::gate::{Gate, Rules, ServerNameVerification};
use crate::identity::IdentityExtractor;
#[cfg(feature = "tokio")]
use crate::live::{ByIdentity, ConnectionLimits, Lifetimes, Live};
use crate::pki::contained::caught;
use crate::pki::{Credentials, OwnCertificateChecks};
use crate::policy::{Authorizer, Denies, DenyList, Policy};
use crate::side::Side;
use crate::tls::config::Common;
use crate::tls::{BuildError, CipherOrder, InForce, Resumption, RootHints};
use crate::trust::{
    ChainVerifier, EkuPolicy, Limits, PostQuantum, Profile, Revocation, RootConstraints, Trust,
};

/// A builder without credentials. The next call is [`credentials`](Self::credentials).
///
/// From [`Acceptor::builder`](crate::Acceptor::builder) or
/// [`Connector::builder`](crate::Connector::builder). The order of calls is `credentials`, `trust`,
/// `identify`, `authorize` (or `authorize_async`), then options, then `build`.
///
/// ```
/// use countersign::builder::{NeedsCredentials, NeedsTrust, ServerSide};
/// use countersign::{Acceptor, testing::TestCa};
///
/// let ca = TestCa::new("Root");
/// let builder: NeedsCredentials<ServerSide> = Acceptor::builder();
/// let credentials = ca.leaf().dns("server.example").issue().credentials();
/// let builder: NeedsTrust<ServerSide> = builder.credentials(credentials);
/// ```
#[derive(Debug)]
#[must_use = "a builder does nothing until build() is called"]
pub struct NeedsCredentials<S> {
    side: PhantomData<S>,
}

impl<S> NeedsCredentials<S> {
    pub(crate) const fn new() -> Self {
        Self { side: PhantomData }
    }

    /// Sets our own certificate chain and private key.
    pub fn credentials(self, credentials: Credentials) -> NeedsTrust<S> {
        NeedsTrust {
            side: PhantomData,
            credentials,
            sources: Sources::default(),
        }
    }
}

/// A builder without trust. The next call is [`trust`](Self::trust).
///
/// After it come `identify`, `authorize` (or `authorize_async`), options and `build`.
///
/// ```
/// use countersign::builder::{NeedsIdentity, NeedsTrust, ServerSide};
/// use countersign::{Acceptor, testing::TestCa};
///
/// let ca = TestCa::new("Root");
/// let credentials = ca.leaf().dns("server.example").issue().credentials();
/// let builder: NeedsTrust<ServerSide> = Acceptor::builder().credentials(credentials);
/// let builder: NeedsIdentity<ServerSide> = builder.trust(ca.trust());
/// ```
#[derive(Debug)]
#[must_use = "a builder does nothing until build() is called"]
pub struct NeedsTrust<S> {
    side: PhantomData<S>,
    credentials: Credentials,
    pub(crate) sources: Sources,
}

impl<S> NeedsTrust<S> {
    /// Sets the roots and pins that peers' chains must lead to.
    ///
    /// A [`TrustStore`](crate::TrustStore), or
    /// [`TrustStore::by_trust_domain`](crate::TrustStore::by_trust_domain) for SPIFFE.
    pub fn trust(self, trust: impl Into<Trust>) -> NeedsIdentity<S> {
        NeedsIdentity {
            side: PhantomData,
            credentials: self.credentials,
            trust: trust.into(),
            sources: self.sources,
        }
    }
}

/// A builder without an identity extractor. The next call is [`identify`](Self::identify).
///
/// After it come `authorize` (or `authorize_async`), options and `build`.
///
/// ```
/// use countersign::builder::{NeedsIdentity, NeedsPolicy, ServerSide};
/// use countersign::{Acceptor, identity::DnsName, testing::TestCa};
///
/// let ca = TestCa::new("Root");
/// let credentials = ca.leaf().dns("server.example").issue().credentials();
/// let builder: NeedsIdentity<ServerSide> =
///     Acceptor::builder().credentials(credentials).trust(ca.trust());
/// let builder: NeedsPolicy<ServerSide, DnsName> = builder.identify(DnsName::extractor());
/// ```
#[derive(Debug)]
#[must_use = "a builder does nothing until build() is called"]
pub struct NeedsIdentity<S> {
    side: PhantomData<S>,
    credentials: Credentials,
    trust: Trust,
    pub(crate) sources: Sources,
}

impl<S> NeedsIdentity<S> {
    /// Sets the extractor that turns a verified certificate into an identity.
    pub fn identify<X>(self, extractor: X) -> NeedsPolicy<S, X::Identity>
    where
        X: IdentityExtractor + 'static,
    {
        NeedsPolicy {
            side: PhantomData,
            credentials: self.credentials,
            trust: self.trust,
            sources: self.sources,
            extractor: Box::new(extractor),
            revocation: None,
            names_by_policy: false,
            follow: None,
        }
    }
}

/// A builder without a policy. The next call is [`authorize`](Self::authorize), or `authorize_async`.
///
/// "no method named `build` found for struct `NeedsPolicy`" means that this call is missing. To admit
/// every peer with a trusted certificate, call `authorize(policy::allow_any())`.
///
/// ```
/// use countersign::builder::{Builder, NeedsPolicy, ServerSide};
/// use countersign::{Acceptor, identity::DnsName, policy, testing::TestCa};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let ca = TestCa::new("Root");
/// let builder: NeedsPolicy<ServerSide, DnsName> = Acceptor::builder()
///     .credentials(ca.leaf().dns("server.example").issue().credentials())
///     .trust(ca.trust())
///     .identify(DnsName::extractor());
/// let builder: Builder<ServerSide, DnsName> =
///     builder.authorize(policy::dns_patterns(["*.client.example"])?);
/// # Ok(())
/// # }
/// ```
#[must_use = "a builder does nothing until build() is called"]
pub struct NeedsPolicy<S, I> {
    side: PhantomData<S>,
    credentials: Credentials,
    trust: Trust,
    sources: Sources,
    extractor: Box<dyn IdentityExtractor<Identity = I>>,
    revocation: Option<Revocation>,
    names_by_policy: bool,
    follow: Option<Follow<I>>,
}

/// What begins when the acceptor or connector is built.
type Follow<I> = Box<dyn FnOnce(&Control<I>) + Send + Sync>;

/// What an agent gives besides credentials and trust.
#[cfg(all(feature = "spiffe", feature = "tokio"))]
impl<S: Role, I> NeedsPolicy<S, I> {
    pub(crate) fn with_revocation(mut self, revocation: Revocation) -> Self {
        self.revocation = Some(revocation);
        self
    }

    /// A connector's policy identifies the server: its certificate needs no host name.
    pub(crate) fn with_names_by_policy(mut self) -> Self {
        self.names_by_policy = true;
        self
    }

    /// Runs `follow` when the acceptor or connector is built.
    pub(crate) fn followed(
        mut self,
        follow: impl FnOnce(&Control<I>) + Send + Sync + 'static,
    ) -> Self {
        self.follow = Some(Box::new(follow));
        self
    }
}

impl<S: Role, I> NeedsPolicy<S, I> {
    /// Sets the policy that decides about every identified peer.
    pub fn authorize(self, policy: impl Policy<I> + 'static) -> Builder<S, I> {
        self.with(Authorizer::sync(policy))
    }

    /// Sets an asynchronous policy, such as one that queries a service. A peer without an answer
    /// within `timeout` is denied. The handshake timeout bounds the answer too.
    #[cfg(feature = "tokio")]
    pub fn authorize_async(
        self,
        policy: impl crate::policy::AsyncPolicy<I> + 'static,
        timeout: Duration,
    ) -> Builder<S, I> {
        self.with(Authorizer::asynchronous(policy, timeout))
    }

    fn with(self, authorizer: Authorizer<I>) -> Builder<S, I> {
        let mut side = S::default();
        if self.names_by_policy {
            side.leave_names_to_policy();
        }
        Builder {
            credentials: self.credentials,
            trust: self.trust,
            sources: self.sources,
            extractor: self.extractor,
            authorizer,
            provider: None,
            allow_tls12: false,
            post_quantum: PostQuantum::default(),
            require_fips: false,
            alpn: Vec::new(),
            bounds: Bounds {
                handshake_timeout: Duration::from_secs(10),
                handshake_bytes: 256 * 1024,
            },
            #[cfg(feature = "tokio")]
            lifetimes: Lifetimes {
                drain: Duration::from_secs(30),
                max_age: None,
            },
            limits: Limits::default(),
            extended_key_usage: EkuPolicy::default(),
            profile: Profile::default(),
            root_constraints: RootConstraints::default(),
            own_checks: OwnCertificateChecks::default(),
            clock: Arc::new(DefaultTimeProvider),
            key_log: None,
            revocation: self.revocation,
            deny_list: None,
            cache_capacity: 4096,
            resumption: Resumption::default(),
            cipher_order: None,
            name: None,
            sink: Box::new(audit::Tracing),
            refusals_per_second: Some(REFUSALS_PER_SECOND),
            describe: None,
            #[cfg(feature = "tokio")]
            connections: ConnectionLimits::default(),
            side,
            follow: self.follow,
        }
    }
}

/// A builder with all decisions: options, each with a safe default, and `build`.
///
/// ```
/// use std::time::Duration;
///
/// use countersign::builder::{Builder, ServerSide};
/// use countersign::{Acceptor, identity::DnsName, policy, testing::TestCa};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let ca = TestCa::new("Root");
/// let builder: Builder<ServerSide, DnsName> = Acceptor::builder()
///     .credentials(ca.leaf().dns("server.example").issue().credentials())
///     .trust(ca.trust())
///     .identify(DnsName::extractor())
///     .authorize(policy::dns_patterns(["*.client.example"])?);
///
/// let acceptor: Acceptor<DnsName> = builder
///     .alpn(["h2", "http/1.1"])
///     .handshake_timeout(Duration::from_secs(5))
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[must_use = "a builder does nothing until build() is called"]
pub struct Builder<S, I> {
    credentials: Credentials,
    trust: Trust,
    pub(crate) sources: Sources,
    extractor: Box<dyn IdentityExtractor<Identity = I>>,
    authorizer: Authorizer<I>,
    provider: Option<Arc<CryptoProvider>>,
    allow_tls12: bool,
    post_quantum: PostQuantum,
    require_fips: bool,
    alpn: Vec<Vec<u8>>,
    bounds: Bounds,
    #[cfg(feature = "tokio")]
    lifetimes: Lifetimes,
    limits: Limits,
    extended_key_usage: EkuPolicy,
    profile: Profile,
    root_constraints: RootConstraints,
    own_checks: OwnCertificateChecks,
    clock: Arc<dyn TimeProvider>,
    key_log: Option<Arc<dyn KeyLog>>,
    revocation: Option<Revocation>,
    deny_list: Option<Box<dyn Denies<I>>>,
    cache_capacity: usize,
    resumption: Resumption,
    cipher_order: Option<CipherOrder>,
    name: Option<Arc<str>>,
    sink: Box<dyn AuditSink>,
    refusals_per_second: Option<u32>,
    describe: Option<Describe>,
    #[cfg(feature = "tokio")]
    connections: ConnectionLimits<I>,
    side: S,
    pub(crate) follow: Option<Follow<I>>,
}

impl<S, I> Builder<S, I> {
    /// Sets the application protocols (ALPN), most preferred first, such as `["h2", "http/1.1"]`.
    ///
    /// Default: none; no protocol is negotiated.
    pub fn alpn<P: Into<Vec<u8>>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
        self.alpn = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the cryptography.
    ///
    /// Default: aws-lc-rs with the post-quantum hybrid key exchange preferred, or ring where only
    /// that feature is on. The process-wide default of rustls is never used.
    pub fn crypto_provider(mut self, provider: impl Into<Arc<CryptoProvider>>) -> Self {
        self.provider = Some(provider.into());
        self
    }

    /// Sets which cipher suite is preferred, of those that both sides have.
    ///
    /// Default: [`CipherOrder::Aes128First`]; with [`post_quantum`](Self::post_quantum),
    /// [`CipherOrder::Aes256First`]. With a [`crypto_provider`](Self::crypto_provider), the order of that
    /// provider stays, and an acceptor chooses what its client prefers.
    pub fn cipher_order(mut self, order: CipherOrder) -> Self {
        self.cipher_order = Some(order);
        self
    }

    /// Also allows TLS 1.2, with extended master secret required.
    ///
    /// Default: TLS 1.3 only. With TLS 1.2 a client's certificate crosses the network in the clear.
    pub fn allow_tls12(mut self) -> Self {
        self.allow_tls12 = true;
        self
    }

    /// Requires that connections resist quantum computers: the key exchange, or also the certificates of both
    /// sides.
    ///
    /// Default: [`PostQuantum::Preferred`]. A peer that has none of the allowed key exchange groups is
    /// rejected in the handshake, and one with a classical certificate by
    /// [`ChainError::NotPostQuantum`](crate::trust::ChainError::NotPostQuantum).
    /// With [`PostQuantum::Only`] both sides ask for ML-DSA signatures alone, so that a peer with several
    /// certificates presents the right one. Many clients with none send no certificate then
    /// (`no_certificate`).
    ///
    /// The groups are X25519MLKEM768, SecP256r1MLKEM768 and MLKEM1024 of the built-in provider, or those with
    /// ML-KEM of a [`crypto_provider`](Self::crypto_provider). `build`, and each update, fails with
    /// [`PostQuantumError`](crate::PostQuantumError) where our own side cannot: with TLS 1.2, with ring, with
    /// a classical certificate of our own or with classical roots only.
    pub fn post_quantum(mut self, rule: PostQuantum) -> Self {
        self.post_quantum = rule;
        self
    }

    /// Requires that all cryptography is that of a FIPS 140-3 module, in approved use.
    ///
    /// Default: not required; `is_fips` of the acceptor or connector says whether it is. `build`, and each
    /// update, then fails with [`FipsError`](crate::FipsError), which names the choice that is not: the crypto
    /// provider, a cipher suite, a key exchange group, a signature algorithm, session tickets, a
    /// [`key_log`](Self::key_log), a signer that is not declared
    /// ([`Credentials::with_fips_signer`]), a key in our own chain or of a trusted root. A peer with a key that
    /// is not approved is rejected by [`ChainError::NotFips`](crate::trust::ChainError::NotFips). TLS 1.2, where
    /// it is allowed, has extended master secret in any case.
    ///
    /// The feature `fips` builds such a module. The manual's page about [FIPS](crate::manual::fips) says
    /// which certificates apply, and what remains to the deployer.
    pub fn require_fips(mut self) -> Self {
        self.require_fips = true;
        self
    }

    /// Sets how long a handshake may take, from its start to the policy's decision.
    ///
    /// Default: 10 s. `accept` and `connect` enforce it. A caller that drives rustls sets its own
    /// timeout.
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.bounds.handshake_timeout = timeout;
        self
    }

    /// Sets how many bytes a peer may send before it is admitted.
    ///
    /// Default: 256 KiB. A handshake with a chain of ten RSA certificates takes some 20 KiB, and
    /// one message at most 64 KiB. `accept` and `connect` enforce it.
    pub fn max_handshake_bytes(mut self, bytes: usize) -> Self {
        self.bounds.handshake_bytes = bytes;
        self
    }

    /// Sets how long an open connection may drain before it is cut. The time of each connection is
    /// shortened by up to a tenth, at random, so that not all close at once.
    ///
    /// Default: 30 s. A peer that is newly denied or revoked is cut at once.
    #[cfg(feature = "tokio")]
    pub fn drain_time(mut self, time: Duration) -> Self {
        self.lifetimes.drain = time;
        self
    }

    /// Sets the maximum age of a connection. It then drains, and is cut after the
    /// [drain time](Self::drain_time). The age is shortened by up to a tenth, at random.
    ///
    /// Default: no limit other than the expiry of the peer's certificates.
    #[cfg(feature = "tokio")]
    pub fn max_connection_age(mut self, age: Duration) -> Self {
        self.lifetimes.max_age = Some(age);
        self
    }

    /// Sets bounds on the peer's chain, enforced before any signature is verified.
    ///
    /// Default: 10 certificates, RSA keys of 8,192 bits.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets whether the peer's certificate must have the extendedKeyUsage extension.
    ///
    /// Default: it need not; where it is present, it must name clientAuth (or serverAuth).
    pub fn extended_key_usage(mut self, rule: EkuPolicy) -> Self {
        self.extended_key_usage = rule;
        self
    }

    /// Checks peers' certificates against CRLs: [`Crls`](crate::trust::Crls), with the strictest
    /// options, or a [`Revocation`] with options of its own.
    ///
    /// Default: revocation is not checked.
    pub fn revocation(mut self, revocation: impl Into<Revocation>) -> Self {
        self.revocation = Some(revocation.into());
        self
    }

    /// Denies every peer on this list, also one that the policy allows. Keep a clone to change the
    /// list.
    ///
    /// Default: none.
    pub fn deny_list(mut self, list: &DenyList<I>) -> Self
    where
        I: Eq + Hash + Send + Sync + 'static,
    {
        self.deny_list = Some(Box::new(list.clone()));
        self
    }

    /// Sets how many verified chains are cached, with their identities; 0 turns the cache off.
    ///
    /// A cached chain is not verified again while trust and CRLs are the same, no certificate of the
    /// path expires and no CRL becomes stale. The peer proves its key in every handshake, and the
    /// policy decides in every handshake. The extractor runs once for each chain, so its result must
    /// depend on the certificate alone.
    ///
    /// The issuers of cached chains are cached too, at most a quarter as many: a new leaf of a known
    /// intermediate costs one signature. Everything but that signature is verified for each new chain.
    ///
    /// Default: 4,096. A chain counts as one per 8 KiB of certificates, and takes about three times
    /// its size in memory. So the default cache takes at most 110 MiB, and about 20 MiB with usual
    /// chains of 1.5 KiB.
    pub fn verification_cache(mut self, chains: usize) -> Self {
        self.cache_capacity = chains;
        self
    }

    /// Sets whether sessions are resumed, and where they are kept.
    ///
    /// Default: [`Resumption::Stateful`], in memory.
    pub fn resumption(mut self, choice: Resumption) -> Self {
        self.resumption = choice;
        self
    }

    /// Sets how strictly the certificates of the peer and its issuers must follow RFC 5280.
    ///
    /// Default: [`Profile::Compatible`], which checks the rules that decide about trust.
    /// [`Profile::Rfc5280`] also rejects certificates that a conforming issuer never issues, such as
    /// one with an empty subject and a subjectAltName that is not critical. Roots and pins are not
    /// checked.
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// Sets whether the constraints in a trusted root's own certificate are enforced: its validity,
    /// path length, extended key usage and critical extensions.
    ///
    /// Default: [`RootConstraints::Ignore`], which says why.
    pub const fn root_constraints(mut self, choice: RootConstraints) -> Self {
        self.root_constraints = choice;
        self
    }

    /// Sets whether a certificate of ours that every peer rejects is an error, when this is built and
    /// when credentials are replaced.
    ///
    /// Default: [`OwnCertificateChecks::Enforce`]. Other problems of our own certificates and their files
    /// are recorded as events
    /// ([`Action::CredentialsWarning`](crate::audit::Action::CredentialsWarning)). New credentials that
    /// are not valid at the time of an update are an error with either choice.
    pub const fn own_certificate_checks(mut self, choice: OwnCertificateChecks) -> Self {
        self.own_checks = choice;
        self
    }

    /// Sets the sink that records every outcome: see [`audit`](crate::audit). Identities are written
    /// by their `Display`.
    ///
    /// Default: [`Tracing`](crate::audit::Tracing), without identities.
    ///
    /// For a sink that takes claimed identities, the extractor also reads the certificates of refused
    /// peers.
    pub fn audit(self, sink: impl AuditSink + 'static) -> Self
    where
        I: fmt::Display + 'static,
    {
        self.audit_as(sink, I::to_string)
    }

    /// As [`audit`](Self::audit), for identities without a `Display`, or with another text.
    pub fn audit_as(
        mut self,
        sink: impl AuditSink + 'static,
        describe: impl Fn(&I) -> String + Send + Sync + 'static,
    ) -> Self
    where
        I: 'static,
    {
        self.sink = Box::new(sink);
        self.describe = Some(Box::new(move |identity| {
            identity.downcast_ref().map(&describe)
        }));
        self
    }

    /// Sets how many refusals of each outcome and reason the audit trail records singly per second, of
    /// peers that have not proven their key; bursts of up to ten times as many are recorded too. The rest
    /// is counted, and reported by a summary per reason and second
    /// ([`Action::RefusalsSuppressed`](crate::audit::Action::RefusalsSuppressed)). `None` records all, `0`
    /// none singly.
    ///
    /// Default: 20. Counts, metrics and `on_refused` always have every attempt, and what happens after
    /// the proof of a key is always recorded singly: see
    /// [refusals of unauthenticated peers](crate::audit#refusals-of-unauthenticated-peers).
    ///
    /// # Security
    /// With `None`, any peer that can connect decides how much is written.
    pub fn audit_refusals_per_second(mut self, refusals: impl Into<Option<u32>>) -> Self {
        self.refusals_per_second = refusals.into();
        self
    }

    /// Sets the name of this acceptor or connector in audit events and metrics, for a program that has
    /// several.
    ///
    /// Default: none.
    pub fn named(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets the clock that validity is checked against.
    ///
    /// Default: the system's clock.
    ///
    /// # Security
    /// While the clock returns no time, or panics, every new peer is rejected. For open connections
    /// the runtime's own clock is used for one minute, so their certificates expire on time. If the
    /// clock has returned no time by then, they drain (`live::CloseReason::NoClock`). A clock that
    /// works again within the minute closes no connection.
    pub fn clock(mut self, clock: impl TimeProvider + 'static) -> Self {
        self.clock = Arc::new(CaughtClock(clock));
        self
    }

    /// Writes the secrets of every connection to a log, for Wireshark
    /// ([`rustls::KeyLogFile`] obeys `SSLKEYLOGFILE`).
    ///
    /// Default: none; environment variables have no effect.
    ///
    /// # Security
    /// The log decrypts every connection.
    pub fn key_log(mut self, key_log: impl KeyLog + 'static) -> Self {
        self.key_log = Some(Arc::new(key_log));
        self
    }
}

/// Checks all settings, and builds the endpoint of an acceptor or a connector.
pub(crate) fn build_endpoint<S: TlsRole, I: Send + Sync + 'static>(
    builder: Builder<S, I>,
) -> Result<Arc<Endpoint<S, I>>, BuildError> {
    if builder.trust.is_empty() {
        return Err(BuildError::EmptyTrust);
    }
    if builder
        .alpn
        .iter()
        .any(|name| name.is_empty() || name.len() > 255)
    {
        return Err(BuildError::InvalidAlpn);
    }
    let recorder = Arc::new(Recorder::new(
        builder.sink,
        S::SIDE,
        builder.name,
        builder.refusals_per_second,
        builder.describe,
    ));
    let order = builder.cipher_order.or_else(|| {
        let is_built_in = builder.provider.is_none();
        is_built_in.then(|| cryptography::default_order(builder.post_quantum))
    });
    let mut provider = cryptography::choose_provider(builder.provider, builder.post_quantum)?;
    if let Some(order) = order {
        provider = order.apply(provider);
    }
    let requirements = Requirements {
        post_quantum: builder.post_quantum,
        fips: builder.require_fips,
        provider: Arc::clone(&provider),
    };
    let mut fips = requirements.check_settings(Settings {
        allows_tls12: builder.allow_tls12,
        logs_keys: builder.key_log.is_some(),
        resumption: builder.resumption,
        is_server: S::SIDE == Side::Server,
    })?;
    let mut verifier = ChainVerifier::new(builder.trust, S::SIDE.peer(), &provider)
        .extended_key_usage(builder.extended_key_usage)
        .profile(builder.profile)
        .root_constraints(builder.root_constraints)
        .post_quantum(builder.post_quantum)
        .limits(builder.limits);
    if builder.require_fips {
        verifier = verifier.require_fips();
    }
    if let Some(revocation) = builder.revocation {
        verifier = verifier.revocation(revocation);
    }
    let common = Common {
        provider,
        allow_tls12: builder.allow_tls12,
        alpn: builder.alpn,
        clock: Arc::clone(&builder.clock),
        key_log: builder.key_log,
        resumption: builder.resumption,
        has_server_order: order.is_some_and(CipherOrder::is_of_server),
    };
    let rules = Rules {
        server_names: builder.side.server_names(),
        extractor: builder.extractor,
        deny_list: builder.deny_list,
        clock: Arc::clone(&builder.clock),
    };
    let named = builder.side.named().iter();
    let own = std::iter::once(&builder.credentials).chain(named.map(|(_, own)| own));
    let now = builder.clock.current_time();
    let own_warnings = OwnWarnings::of_new(own, S::SIDE, builder.own_checks, now)?;
    requirements.check_trust(verifier.trust(), &mut fips)?;
    requirements.check_credentials(None, &builder.credentials, &mut fips)?;
    for (name, credentials) in builder.side.named() {
        requirements.check_credentials(Some(name), credentials, &mut fips)?;
    }
    let in_force = InForce::unlinked();
    let template =
        builder
            .side
            .template(&in_force, verifier.trust(), &builder.credentials, common)?;
    let endpoint = Endpoint::new(Parts {
        gate: Gate::new(verifier, builder.cache_capacity, builder.authorizer, rules),
        template,
        requirements,
        fips,
        in_force,
        sources: builder.sources,
        bounds: builder.bounds,
        own_checks: builder.own_checks,
        #[cfg(feature = "tokio")]
        live: Live::new(builder.connections, builder.lifetimes, builder.clock),
        recorder: Arc::clone(&recorder),
    })?;
    let generation = endpoint.snapshot().gate.generation();
    caught(|| own_warnings.record(&recorder, generation));
    Ok(endpoint)
}

/// A clock of the application. If it panics, it returns no time.
#[derive(Debug)]
struct CaughtClock<C>(C);

impl<C: TimeProvider> TimeProvider for CaughtClock<C> {
    fn current_time(&self) -> Option<UnixTime> {
        caught(|| self.0.current_time()).flatten()
    }
}

impl<I: Send + Sync + 'static> Builder<ServerSide, I> {
    /// Adds a certificate for clients that ask for this name (SNI); `*.example.org` matches every
    /// name with one more label.
    ///
    /// Default: none. A client that asks for another name, or for none, gets the certificate of
    /// [`credentials`](NeedsCredentials::credentials). Trust and policy are the same for all names.
    pub fn credentials_for(mut self, name: impl Into<String>, credentials: Credentials) -> Self {
        self.side.named.push((name.into(), credentials));
        self
    }

    /// Sets which names of authorities are sent to clients, with the request for their certificate.
    ///
    /// Default: [`RootHints::IfShort`].
    pub const fn root_hints(mut self, choice: RootHints) -> Self {
        self.side.hints = choice;
        self
    }

    /// Sets how many connections may be open at once, of all peers together.
    ///
    /// A further peer that the policy allows is rejected after its handshake, with the alert
    /// `internal_error` and the reason `too_many_connections`. Streams of `Acceptor::accept` and of a
    /// `Listener` count until they are dropped, also after a cut. Connections that
    /// [`Control::admit`](crate::Control::admit) admits do not count. With 0, no peer is admitted.
    ///
    /// Default: no limit.
    #[cfg(feature = "tokio")]
    pub const fn max_connections(mut self, connections: usize) -> Self {
        self.connections.total = Some(connections);
        self
    }

    /// Sets how many connections peers of one identity may have open at once. A further one is
    /// rejected with the alert `access_denied` and the reason `too_many_connections_of_identity`.
    /// Connections count as for [`max_connections`](Self::max_connections).
    ///
    /// Default: no limit.
    #[cfg(feature = "tokio")]
    pub fn max_connections_per_identity(mut self, connections: usize) -> Self
    where
        I: Eq + Hash,
    {
        self.connections.per_identity = Some(Box::new(ByIdentity::new(connections)));
        self
    }

    /// Changes settings of rustls that this builder does not model.
    ///
    /// Only `ignore_client_order` (set by [`cipher_order`](Self::cipher_order)), `max_fragment_size`,
    /// `send_tls13_tickets` (1), `max_tls13_tickets` (4) and certificate compression (off) take effect.
    /// Everything else is set again afterwards: verifier, certificates, ALPN, versions, session store,
    /// tickets, early data, half-RTT data, key log, clock, extended master secret and secret extraction.
    pub fn customize_rustls(
        mut self,
        customize: impl FnOnce(&mut ServerConfig) + Send + 'static,
    ) -> Self {
        self.side.customize = Some(Box::new(customize));
        self
    }
}

impl<I: Send + Sync + 'static> Builder<ClientSide, I> {
    /// Sets whether the server's certificate must be valid for the server name that `connect` gets.
    ///
    /// Default: [`ServerNameVerification::Verify`]. Choose [`ServerNameVerification::ByPolicy`] where the policy
    /// identifies the server, as with SPIFFE IDs.
    pub fn server_names(mut self, rule: ServerNameVerification) -> Self {
        self.side.server_names = rule;
        self
    }

    /// Changes settings of rustls that this builder does not model.
    ///
    /// Only `max_fragment_size`, `enable_sni` and certificate compression (off) take effect. Everything else
    /// is set again afterwards: verifier, certificate, ALPN, versions, session store, early data, key
    /// log, clock, extended master secret and secret extraction.
    pub fn customize_rustls(
        mut self,
        customize: impl FnOnce(&mut ClientConfig) + Send + 'static,
    ) -> Self {
        self.side.customize = Some(Box::new(customize));
        self
    }
}

impl<S, I> fmt::Debug for NeedsPolicy<S, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NeedsPolicy")
            .field("credentials", &self.credentials)
            .field("trust", &self.trust)
            .finish_non_exhaustive()
    }
}

impl<S, I> fmt::Debug for Builder<S, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("credentials", &self.credentials)
            .field("trust", &self.trust)
            .field("allow_tls12", &self.allow_tls12)
            .field("bounds", &self.bounds)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
