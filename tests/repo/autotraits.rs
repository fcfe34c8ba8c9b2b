//! Send, Sync, Unpin and UnwindSafe are part of the public API: none may be lost unseen.

use std::marker::{PhantomData, PhantomPinned};
use std::net::SocketAddr;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::rc::Rc;

use countersign::Side;
use countersign::audit::metrics::{Kind, Metric};
use countersign::audit::{
    Action, Alert, AuditEvent, AuditSink, AuditedIdentity, AuditedRequest, EventId, FanOut, Filter,
    Json, Memory, Outcome, Overflow, PresentedCertificate, Proof, Queue, QueueBuilder, RecordError,
    RotatingFile, Stage, Stats, Suppressed, Tracing, Traffic,
};
use countersign::builder::{
    Builder, ClientSide, NeedsCredentials, NeedsIdentity, NeedsPolicy, NeedsTrust, ServerSide,
};
use countersign::diagnose::{Case, Finding, Report, Step, StepResult};
use countersign::gate::{Admission, AdmitError, Handshaken, ServerNameVerification, Vouched};
use countersign::identity::{
    And, CommonName, DnsName, Email, ExtensionExtractor, ExtensionValue, FingerprintExtractor,
    IdentityError, IdentityErrorKind, IdentityExtractor, IpAddress, KubernetesUser, Map, Multiple,
    Or, OrganizationalUnit, Psd2, Psd2Role, SerialAndIssuer, Single, SpiffeId, Subject,
    TrustDomain, TryMap, Upn, Uri, WorkloadId,
};
use countersign::integration::axum::NoPeerError;
use countersign::integration::http::{
    ForwardError, ForwardedIdentity, IdentityHeader, ProxiedIdentity, ProxiedIdentityError,
    XfccField,
};
use countersign::integration::hyper::{
    Client, HttpsConnector, HttpsError, HttpsStream, RequestBody, RequestBodyError, Server,
    StreamExecutor,
};
use countersign::integration::quinn::{
    AddressValidation, BindError, ClientBuilder, Connection, ConnectionError, RecvStream,
    SendStream,
};
use countersign::integration::reqwest::Client as ReqwestClient;
use countersign::integration::spiffe::{
    JwtSvid, ValidatedJwt, Workload, WorkloadBuilder, WorkloadError,
};
use countersign::integration::tokio_postgres::{ConnectTo, MutualTls};
use countersign::integration::tonic::{CallError, Channel, Http2RequiredError};
use countersign::integration::tower::{
    AuthorizeRequest, AuthorizedRequests, BoundClaims, BoundToken, BoundTokenService,
    CertificateBinding, Conditions, Confirmation, Denied, Forbidden, ProofError, ProxiedRequests,
    RequestPolicy, RequestRules, ResponseFuture, RuleError, TokenError, VerifiedToken,
};
use countersign::live::{CloseReason, OpenConnection};
use countersign::pki::pkcs11::{Pin, Pkcs11Error, Pkcs11Key};
use countersign::pki::{
    AlgorithmError, BlockPlace, CertificateError, ContentKind, CredentialsError, Crl,
    CrlFormatError, CrlNumber, DistinguishedName, Excerpt, Extension, Fingerprint,
    FingerprintError, GeneralName, KeyError, KeyUsage, LoadWarning, NameAttribute,
    OwnCertificateChecks, OwnCertificateProblem, Passphrase, PemError, PublicKeyKind, RemoteSigner,
    SanError, SerialNumber, SigningError, SigningRequest, StringRules, TextError,
};
use countersign::policy::{
    AllOf, AllowAny, AnyOf, AsyncPolicy, Cached, DeniedBy, DenyEntry, DenyEntryError, DenyFirst,
    DenyList, Difference, DnsPattern, DnsPatternError, EntryError, Exact, Explanation,
    FingerprintSet, IssuerText, Not, PatternSet, SerialText, Shadow, SpiffePattern,
    SpiffePatternError, TrustDomains,
};
use countersign::proxy_protocol::{Header, HeaderError, NetError, Parsed, Trusted};
use countersign::reload::{
    Applied, Backoff, Handle, OwnCertificate, Part, Refusal, Reload, ReloadError, Silence, Source,
    Status, StreamStatus,
};
use countersign::testing::{
    CrlBuilder, FixedClock, Issued, KeyType, KeyUsageBits, LeafBuilder, TestCa, TestCaBuilder,
};
use countersign::trust::{
    Anchor, BundleError, CertificatePolicies, ChainError, ChainVerifier, CrlError, CrlLoader,
    CrlRollback, Crls, DeltaCrls, EkuPolicy, ExpiredCrl, Limits, NameMatching, PathError,
    PostQuantum, Profile, Revocation, RevocationDepth, RootConstraints, Signer, SkippedCrl,
    StatusError, Trust, TrustBundles, TrustError, UnknownStatus, UnusableFiles, VerifiedChain,
};
use countersign::{
    AcceptError, Acceptor, AlertWatch, BuildError, Certificate, CipherOrder, ClientHandshake,
    ConnectError, ConnectionInfo, Connector, Control, Credentials, Decision, DirectTls,
    DrainSignal, EarlyDrop, FipsError, HandshakeError, Listener, ListenerBuilder, ListenerHandle,
    Peer, PeerAlert, Policy, PostQuantumError, PreambleError, RawConnection, Resumption, RootHints,
    ServerHandshake, ShedReason, TlsStream, TrustStore, Update, WhenFull,
};
use tokio::io::DuplexStream;

fn is_shareable<T: Send + Sync + Unpin>() {}
fn is_plain<T: Send + Sync + Unpin + UnwindSafe + RefUnwindSafe>() {}
fn is_sent<T: Send + Unpin>() {}
fn is_error<T: std::error::Error + Send + Sync + Unpin + 'static>() {}

/// Values, which a panic cannot leave half-changed.
#[test]
fn values_go_everywhere() {
    is_plain::<ConnectionInfo>();
    is_plain::<Peer<SpiffeId>>();
    is_plain::<Decision>();
    is_plain::<Admission<SpiffeId>>();
    is_plain::<ServerNameVerification>();
    is_plain::<Vouched<SpiffeId>>();
    is_plain::<TrustStore>();
    is_shareable::<Case<'static>>();
    is_plain::<Finding>();
    is_plain::<AlertWatch>();
    is_plain::<PeerAlert>();
    is_plain::<StepResult>();
    is_plain::<Report>();
    is_plain::<Step>();
    is_plain::<Anchor>();
    is_plain::<EkuPolicy>();
    is_plain::<Limits>();
    is_plain::<Profile>();
    is_plain::<PostQuantum>();
    is_plain::<NameMatching>();
    is_plain::<CertificatePolicies>();
    is_plain::<RootConstraints>();
    is_plain::<SerialText>();
    is_plain::<IssuerText>();
    is_plain::<Excerpt<String>>();
    is_plain::<VerifiedChain>();

    is_plain::<AuditEvent>();
    is_plain::<AuditedIdentity>();
    is_plain::<AuditedRequest>();
    is_plain::<Action>();
    is_plain::<Alert>();
    is_plain::<EventId>();
    is_plain::<Outcome>();
    is_plain::<PresentedCertificate>();
    is_plain::<Proof>();
    is_plain::<Side>();
    is_plain::<Stage>();
    is_plain::<Suppressed>();
    is_plain::<Stats>();
    is_plain::<Traffic>();
    is_plain::<Kind>();
    is_plain::<Metric>();
    is_plain::<Tracing>();
    is_plain::<Memory>();
    is_plain::<Overflow>();
    is_plain::<RotatingFile>();

    is_plain::<Certificate>();
    is_plain::<Extension>();
    is_plain::<Fingerprint>();
    is_plain::<KeyUsage>();
    is_plain::<PublicKeyKind>();
    is_plain::<StringRules>();
    is_plain::<SerialNumber>();
    is_plain::<DistinguishedName>();
    is_plain::<NameAttribute<'_>>();
    is_plain::<GeneralName>();
    is_plain::<BlockPlace>();
    is_plain::<Crl>();
    is_plain::<Crls>();
    is_plain::<Revocation>();
    is_plain::<UnknownStatus>();
    is_plain::<ExpiredCrl>();
    is_plain::<CrlRollback>();
    is_plain::<RevocationDepth>();
    is_plain::<StatusError>();
    is_plain::<PathError>();
    is_plain::<Trust>();
    is_plain::<TrustBundles>();
    is_plain::<Resumption>();
    is_plain::<CipherOrder>();
    is_plain::<RootHints>();
    is_plain::<DenyEntry<SpiffeId>>();
    is_plain::<DeniedBy>();

    is_plain::<SpiffeId>();
    is_plain::<WorkloadId>();
    is_plain::<Single<SpiffeId>>();
    is_plain::<Multiple<DnsName>>();
    is_plain::<FingerprintExtractor>();
    is_plain::<ExtensionExtractor>();
    is_plain::<Uri>();
    is_plain::<Email>();
    is_plain::<IpAddress>();
    is_plain::<OrganizationalUnit>();
    is_plain::<Subject>();
    is_plain::<SerialAndIssuer>();
    is_plain::<Upn>();
    is_plain::<KubernetesUser>();
    is_plain::<Psd2>();
    is_plain::<Psd2Role>();
    is_plain::<SpiffePattern>();
    is_plain::<DnsPattern>();
    is_plain::<PatternSet<SpiffePattern>>();
    is_plain::<FingerprintSet>();
    is_plain::<TrustDomain>();
    is_plain::<TrustDomains>();
    is_plain::<Explanation>();
    is_plain::<Map<Single<SpiffeId>, fn(SpiffeId) -> String>>();
    is_plain::<TryMap<Single<SpiffeId>, fn(SpiffeId) -> Result<String, IdentityError>>>();
    is_plain::<And<Single<SpiffeId>, Single<DnsName>>>();
    is_plain::<Or<Single<DnsName>, Single<DnsName>>>();
    is_shareable::<ChainVerifier>();
    is_shareable::<FanOut>();
    is_shareable::<Filter<Memory, fn(&AuditEvent) -> bool>>();
    is_shareable::<Json<Vec<u8>>>();
    is_shareable::<Queue>();
    is_sent::<QueueBuilder>();
    is_shareable::<Box<dyn AuditSink>>();
    is_shareable::<Not<SpiffeId>>();
    is_shareable::<DenyFirst<SpiffeId>>();
    is_shareable::<AnyOf<SpiffeId>>();
    is_shareable::<AllOf<SpiffeId>>();
    is_shareable::<Shadow<SpiffeId>>();
    is_shareable::<Difference<'_, SpiffeId>>();
    is_shareable::<Cached<SpiffeId, AllowAny>>();
    is_error::<EntryError<IdentityError>>();
    is_error::<RecordError>();
    is_error::<SpiffePatternError>();
    is_error::<DnsPatternError>();
    is_error::<DenyEntryError>();
    is_plain::<ExtensionValue>();
    is_plain::<DnsName>();
    is_plain::<CommonName>();

    is_plain::<AllowAny>();
    is_plain::<Exact<SpiffeId>>();

    is_plain::<AddressValidation>();
    is_error::<BindError>();
    is_error::<ConnectionError>();
    is_sent::<ClientBuilder<SpiffeId>>();
    is_shareable::<Connection<SpiffeId>>();
    is_shareable::<SendStream>();
    is_shareable::<RecvStream>();
    is_shareable::<countersign::integration::quinn::Client<SpiffeId>>();
    is_shareable::<countersign::integration::quinn::Listener<SpiffeId>>();
    is_sent::<countersign::integration::quinn::ListenerBuilder<SpiffeId>>();

    is_plain::<CloseReason>();
    is_plain::<ShedReason>();
    is_plain::<WhenFull>();
    is_plain::<EarlyDrop>();
    is_plain::<DirectTls>();
    is_plain::<PreambleError>();
    is_plain::<RawConnection<tokio::io::Empty>>();
    is_plain::<Header>();
    is_plain::<HeaderError>();
    is_plain::<NetError>();
    is_plain::<Parsed>();
    is_plain::<Trusted>();

    is_plain::<Part>();
    is_plain::<Applied>();
    is_plain::<OwnCertificate>();
    is_plain::<Backoff>();
    is_plain::<Silence>();
    is_plain::<JwtSvid>();
    is_plain::<ValidatedJwt>();
    is_plain::<WorkloadBuilder>();

    is_plain::<ForwardedIdentity>();
    is_plain::<StreamExecutor>();
    is_plain::<XfccField>();
    is_plain::<IdentityHeader>();
    is_plain::<NoPeerError>();
    is_plain::<Conditions>();
    is_plain::<Forbidden>();
    is_plain::<Confirmation>();
    is_plain::<CertificateBinding>();
    is_plain::<ProofError>();
    is_plain::<TokenError>();
    is_plain::<VerifiedToken<String>>();
    is_plain::<BoundClaims<String>>();

    is_plain::<AlgorithmError>();
    is_plain::<ContentKind>();
    is_plain::<CrlNumber>();
    is_plain::<KeyError>();
    is_plain::<LoadWarning>();
    is_plain::<OwnCertificateChecks>();
    is_plain::<OwnCertificateProblem>();
    is_plain::<Passphrase>();
    is_plain::<Pin>();
    is_plain::<SigningRequest<'_>>();
    is_plain::<CrlLoader>();
    is_plain::<DeltaCrls>();
    is_plain::<Signer>();
    is_plain::<SkippedCrl>();
    is_plain::<UnusableFiles>();

    is_plain::<FixedClock>();
    is_plain::<KeyType>();
    is_plain::<KeyUsageBits>();
}

/// What holds connections, keys or the application's code.
#[test]
fn the_machinery_is_shared_between_tasks() {
    is_shareable::<Acceptor<SpiffeId>>();
    is_shareable::<Connector<SpiffeId>>();
    is_shareable::<Control<SpiffeId>>();
    is_shareable::<Handshaken<'_>>();
    is_shareable::<ClientHandshake<SpiffeId>>();
    is_shareable::<ServerHandshake<SpiffeId>>();
    is_shareable::<TlsStream<DuplexStream, SpiffeId>>();
    is_shareable::<TlsStream<tokio::net::TcpStream, SpiffeId>>();
    is_shareable::<OpenConnection<SpiffeId>>();
    is_shareable::<DrainSignal>();
    is_shareable::<Listener<tokio::net::TcpStream, SpiffeId>>();
    is_shareable::<ListenerHandle<SpiffeId>>();
    is_shareable::<Credentials>();
    is_shareable::<Pkcs11Key>();
    is_shareable::<Box<dyn RemoteSigner>>();
    is_shareable::<Update>();
    is_shareable::<DenyList<SpiffeId>>();
    is_shareable::<Source<TrustStore>>();
    is_shareable::<StreamStatus>();
    is_shareable::<Workload>();
    is_shareable::<Handle>();
    is_shareable::<Status>();
    is_shareable::<Refusal>();

    is_shareable::<Server>();
    is_shareable::<RequestBody>();
    is_shareable::<Client<SpiffeId, String>>();
    is_shareable::<HttpsConnector<SpiffeId>>();
    is_shareable::<HttpsStream<DuplexStream, SpiffeId>>();
    is_shareable::<Channel>();
    is_shareable::<ReqwestClient<SpiffeId>>();
    is_shareable::<MutualTls<SpiffeId>>();
    is_shareable::<ConnectTo<SpiffeId>>();
    is_shareable::<AuthorizeRequest<SpiffeId>>();
    is_shareable::<ProxiedIdentity<SpiffeId>>();
    is_shareable::<ProxiedRequests<(), SpiffeId>>();
    is_shareable::<AuthorizedRequests<(), SpiffeId>>();
    is_shareable::<RequestRules<SpiffeId>>();
    is_shareable::<Denied<'_, SpiffeId>>();
    is_shareable::<ResponseFuture<(), ()>>();
    is_shareable::<BoundToken<SpiffeId, ()>>();
    is_shareable::<BoundTokenService<(), SpiffeId, ()>>();
    is_shareable::<Box<dyn RequestPolicy<SpiffeId>>>();

    // Builders hold what runs once.
    is_sent::<NeedsCredentials<ServerSide>>();
    is_sent::<NeedsTrust<ServerSide>>();
    is_sent::<NeedsIdentity<ServerSide>>();
    is_sent::<NeedsPolicy<ServerSide, SpiffeId>>();
    is_sent::<Builder<ServerSide, SpiffeId>>();
    is_sent::<Builder<ClientSide, SpiffeId>>();
    is_sent::<ListenerBuilder<SpiffeId>>();
    is_sent::<LeafBuilder>();
    is_sent::<Reload<SpiffeId>>();

    is_shareable::<Box<dyn Policy<SpiffeId>>>();
    is_shareable::<Box<dyn IdentityExtractor<Identity = SpiffeId>>>();
    is_shareable::<TestCa>();
    is_shareable::<TestCaBuilder>();
    is_shareable::<CrlBuilder>();
    is_shareable::<Issued>();
}

/// Errors go through `?` into `Box<dyn Error + Send + Sync>` and across tasks.
#[test]
fn errors_are_errors() {
    is_error::<AcceptError>();
    is_error::<ConnectError>();
    is_error::<HandshakeError>();
    is_error::<BuildError>();
    is_error::<PostQuantumError>();
    is_error::<FipsError>();
    is_error::<ReloadError>();
    is_error::<WorkloadError>();
    is_error::<AdmitError>();
    is_error::<ChainError>();
    is_error::<TrustError>();
    is_error::<BundleError>();
    is_error::<CrlError>();
    is_error::<CrlFormatError>();
    is_error::<CredentialsError>();
    is_error::<Pkcs11Error>();
    is_error::<SigningError>();
    is_error::<PemError>();
    is_error::<CertificateError>();
    is_error::<FingerprintError>();
    is_error::<SanError>();
    is_error::<TextError>();
    is_error::<HttpsError>();
    is_error::<RequestBodyError>();
    is_error::<ForwardError>();
    is_error::<ProxiedIdentityError>();
    is_error::<RuleError>();
    is_error::<NoPeerError>();
    is_error::<CallError>();
    is_error::<Http2RequiredError>();
    is_error::<IdentityError>();
    is_plain::<IdentityErrorKind>();
}

/// Each of these may run on a task of its own, also with an identity that is not Unpin.
#[test]
fn futures_are_send() {
    struct Pinned(PhantomPinned);

    fn is_send<F: Future + Send>(future: F) -> F {
        future
    }
    fn accept(acceptor: &Acceptor<Pinned>, io: DuplexStream, other: DuplexStream) {
        drop(is_send(acceptor.accept(io)));
        drop(is_send(acceptor.accept_from(other, None::<SocketAddr>)));
    }
    fn connect(connector: &Connector<Pinned>, io: DuplexStream, other: DuplexStream) {
        drop(is_send(connector.connect("server.example", io)));
        drop(is_send(connector.connect_to(
            "server.example",
            other,
            None::<SocketAddr>,
        )));
    }
    fn admit(gate: &Control<Pinned>, connection: &rustls::ServerConnection) {
        drop(is_send(gate.admit_async(connection, None::<SocketAddr>)));
        drop(is_send(
            gate.admit_chain_async(&[], ConnectionInfo::default()),
        ));
    }
    fn reload(reload: Reload<Pinned>, handle: &Handle) {
        drop(is_send(reload.start()));
        drop(is_send(handle.reload_now()));
        drop(is_send(handle.update(Update::new())));
    }
    fn authorize<P: AsyncPolicy<Pinned>>(policy: &P, peer: Peer<Pinned>) {
        drop(is_send(policy.authorize(peer)));
    }
    // That they compile is the test.
    let _ = (accept, connect, admit, reload);
    let _ = authorize::<fn(Peer<Pinned>) -> std::future::Ready<Decision>>;
}

/// Tells whether `T` is Send: its own method is found before the trait's, where it exists.
struct Probe<T>(PhantomData<T>);

impl<T: Send> Probe<T> {
    fn is_send(&self) -> bool {
        true
    }
}

trait Otherwise {
    fn is_send(&self) -> bool {
        false
    }
}

impl<T> Otherwise for &Probe<T> {}

/// What is bound to one thread stays there.
#[test]
fn an_identity_that_is_not_send_makes_none_of_it_send() {
    macro_rules! is_send {
        ($type:ty) => {
            (&Probe::<$type>(PhantomData)).is_send()
        };
    }
    assert!(is_send!(Peer<u8>));
    assert!(!is_send!(Peer<Rc<u8>>));
    assert!(is_send!(Admission<u8>));
    assert!(!is_send!(Admission<Rc<u8>>));
    assert!(is_send!(TlsStream<DuplexStream, u8>));
    assert!(!is_send!(TlsStream<DuplexStream, Rc<u8>>));
    assert!(!is_send!(TlsStream<Rc<u8>, u8>));
}

/// A public type that is not named above fails here.
#[test]
fn no_public_type_is_forgotten() {
    let above = include_str!("autotraits.rs");
    let mut types = Vec::new();
    let mut folders = vec![support::workspace().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                types.extend(public_types(&std::fs::read_to_string(path).unwrap()));
            }
        }
    }
    assert!(types.len() > 50, "the source was not found");
    let mentioned = |name: &String| {
        ["is_plain", "is_shareable", "is_error", "is_sent"]
            .iter()
            .any(|check| above.contains(&format!("{check}::<{name}>"))
                || above.contains(&format!("{check}::<{name}<")))
            // The sides are the builder's parameters.
            || above.contains(&format!("<{name}, "))
    };
    let forgotten: Vec<_> = types.iter().filter(|name| !mentioned(name)).collect();
    assert_eq!(forgotten, Vec::<&String>::new());
    assert!(!mentioned(&"Forgotten".to_owned()));
}

/// `pub(crate)` is not public, and the lint `unreachable_pub` makes `pub` mean what it says.
fn public_types(source: &str) -> Vec<String> {
    source
        .lines()
        .filter_map(|line| {
            let line = line.trim_start();
            let rest = line
                .strip_prefix("pub struct ")
                .or_else(|| line.strip_prefix("pub enum "))?;
            let end = rest.find(|c: char| !c.is_alphanumeric())?;
            Some(rest[..end].to_owned())
        })
        .collect()
}
