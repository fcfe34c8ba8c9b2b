//! What goes wrong between clients and servers, and what makes it right.

use std::path::PathBuf;
use std::time::Duration;

use countersign::identity::{CommonName, SerialAndIssuer};
use countersign::pki::Crl;
use countersign::policy::{self, DenyEntry, DenyList};
use countersign::testing::{CrlBuilder, Issued};
use countersign::trust::Crls;
use countersign::{Acceptor, Decision, Peer};

use super::doors::Door;
use super::world::{FAR_AWAY, LAST_MONTH, LONG_AGO, NEXT_MONTH, World, at};
use super::{chains, names, servers};
use crate::callers::{PROGRAMS, Program, Speaks};
use support::interop::{Files, Tls, name};

/// A refusal, and the same call after the remedy.
pub(crate) struct Case {
    pub(crate) title: &'static str,
    pub(crate) remedy: &'static str,
    pub(crate) refused: Situation,
    pub(crate) cured: Situation,
}

impl Case {
    pub(crate) const fn new(
        title: &'static str,
        refused: Situation,
        cured: Situation,
        remedy: &'static str,
    ) -> Self {
        Self {
            title,
            remedy,
            refused,
            cured,
        }
    }
}

/// A client that calls a server.
#[derive(Clone)]
pub(crate) struct Situation {
    pub(crate) acceptor: Acceptor<CommonName>,
    pub(crate) client: Option<Files>,
    /// Whom the client believes.
    pub(crate) ca: PathBuf,
    pub(crate) host: &'static str,
    pub(crate) tls: Tls,
    pub(crate) speaks: Speaks,
    /// How long the client waits for a server that does not answer.
    pub(crate) wait: Option<Duration>,
    /// What is in front of the acceptor, if anything.
    pub(crate) door: Option<Door>,
    /// Which programs take the client's certificate. Others end before they call.
    pub(crate) by: &'static [Program],
}

impl Situation {
    /// Whether it is the client that has a fault to find.
    pub(crate) fn client_rejects(&self) -> bool {
        self.ca.ends_with("stranger.pem") || self.host != "localhost"
    }

    pub(crate) fn with(&self, change: impl FnOnce(&mut Self)) -> Self {
        let mut other = self.clone();
        change(&mut other);
        other
    }
}

async fn never(_: Peer<CommonName>) -> Decision {
    std::future::pending().await
}

pub(crate) fn cases(world: &World) -> Vec<Case> {
    let alice = world.files(&world.alice().issue());
    let good = Situation {
        acceptor: world.acceptor().build().expect("an acceptor"),
        client: Some(alice),
        ca: world.root_file.clone(),
        host: "localhost",
        tls: Tls::V13,
        speaks: Speaks::Tls,
        wait: None,
        door: None,
        by: &PROGRAMS,
    };
    let shows = |issued: Issued| good.with(|call| call.client = Some(world.files(&issued)));
    let calls = |acceptor: Acceptor<CommonName>| good.with(|call| call.acceptor = acceptor);
    let crl = |list: CrlBuilder| {
        let list = Crl::from_der(&list.this_update(at(LONG_AGO)).build()).expect("a CRL");
        let crls = Crls::new([list]).expect("CRLs");
        calls(
            world
                .acceptor()
                .revocation(crls)
                .build()
                .expect("an acceptor"),
        )
    };
    let listed = |entry: fn(&Issued) -> DenyEntry<CommonName>| {
        let issued = world.alice().issue();
        let denied = DenyList::new();
        denied.insert(entry(&issued));
        let acceptor = world.acceptor().deny_list(&denied).build();
        calls(acceptor.expect("an acceptor")).with(|call| call.client = Some(world.files(&issued)))
    };
    let fresh = |list: CrlBuilder| list.next_update(at(NEXT_MONTH));
    let case = Case::new;
    let unlisted = |listed: &Situation| {
        listed.with(|call| call.acceptor = world.acceptor().build().expect("an acceptor"))
    };
    let strange = shows(world.alice_of(&world.stranger).issue());
    let (by_serial, by_key, by_identity) = (
        listed(|issued| {
            let serial = SerialAndIssuer::of(&issued.certificate());
            DenyEntry::Serial(serial.expect("a serial number"))
        }),
        listed(|issued| DenyEntry::Key(issued.certificate().spki_sha256())),
        listed(|_| DenyEntry::Identity(name("alice"))),
    );
    // As `openssl req -x509` makes it.
    let ca = world
        .alice()
        .basic_constraints(Some(true))
        .key_usage(None)
        .extended_key_usage(None);
    let ca = ca.self_signed();
    let bob = shows(world.nameless(&world.root).common_name("bob").issue());
    let twelve = |acceptor: Acceptor<CommonName>| calls(acceptor).with(|call| call.tls = Tls::V12);

    let mut cases = vec![
        case(
            "No certificate",
            good.with(|call| call.client = None),
            good.clone(),
            "Give the client a certificate *and* its key: curl `--cert` and `--key`, OpenSSL \
             `-cert` and `-key`, Python `load_cert_chain`, Java a `KeyManagerFactory` (or \
             `-Djavax.net.ssl.keyStore`), Go `Certificates`, Node `cert` and `key`, GnuTLS \
             `--x509certfile` and `--x509keyfile`. Java and Go do not send a certificate whose \
             issuer is not among the authorities that the server names: see [Unknown \
             CA](#unknown-ca).",
        ),
        case(
            "Unknown CA",
            strange.clone(),
            strange.with(|call| {
                let trust = world.root.trust().and(world.stranger.trust());
                call.acceptor = world.acceptor_of(trust).build().expect("an acceptor");
            }),
            "Have the certificate issued by a CA of the server's trust store, or add its CA there \
             (`TrustStore`, `--trust`). A self-signed certificate is pinned (`pin`, `--pin`).",
        ),
        case(
            "The intermediate is missing",
            shows(world.alice_of(&world.issuing).issue().leaf_only()),
            shows(world.alice_of(&world.issuing).issue()),
            "Append the intermediate to the client's certificate file, leaf first (`openssl s_client` \
             reads one certificate there: give it the others by `-cert_chain`); or give it to the \
             server (`with_intermediates_pem_file`, `--intermediate`).",
        ),
        case(
            "Another CA of the same name",
            shows(world.alice_of(&world.root.same_name_other_key()).issue()),
            good.clone(),
            "The CA has a new key under the same name, or the file of another environment is \
             loaded. Load the CA's current certificate beside the old one, or reissue the \
             client's certificate.",
        ),
        case(
            "Expired",
            shows(world.alice().validity(at(LONG_AGO), at(LAST_MONTH)).issue()),
            good.clone(),
            "Renew the certificate. If it should still be valid, check the server's clock.",
        ),
        case(
            "Not yet valid",
            shows(world.alice().validity(at(NEXT_MONTH), at(FAR_AWAY)).issue()),
            good.clone(),
            "Compare the clocks of the CA and of the server. TLS has one alert for certificates \
             that have expired and for those that are not yet valid, so the client reports expiry.",
        ),
        case(
            "Revoked",
            crl(fresh(world.root.crl().revoke(&[0x2a]))),
            crl(fresh(world.root.crl())),
            "Issue a new certificate. If it was revoked by mistake, it is valid again after the \
             CA's next CRL.",
        ),
        case(
            "On the deny list, by serial number",
            by_serial.clone(),
            unlisted(&by_serial),
            "Issue a new certificate, or remove the entry from the server's `DenyList` \
             (`--deny-file`).",
        ),
        case(
            "On the deny list, by key",
            by_key.clone(),
            unlisted(&by_key),
            "Create a new key, and issue a certificate for it: a new certificate for the same key \
             is rejected as well. Or remove the entry from the server's `DenyList`.",
        ),
        case(
            "On the deny list, by identity",
            by_identity.clone(),
            unlisted(&by_identity),
            "Remove the entry from the server's `DenyList`. A new certificate with the same \
             identity is denied too.",
        ),
        case(
            "No CRL of its CA",
            crl(fresh(world.stranger.crl())),
            crl(fresh(world.root.crl())),
            "The error is in the server's configuration: load the CRL of every CA (`Crls`, \
             `--crl`), or name each CA that publishes none (`no_crl_from`, `--no-crl-issuer`).",
        ),
        case(
            "The CRL of its CA has expired",
            crl(world.root.crl().next_update(at(LAST_MONTH))),
            crl(fresh(world.root.crl())),
            "The error is in the server's configuration: fetch CRLs before their nextUpdate, and \
             reload them (`Reload`, `--reload`). A `grace` bridges an outage of the CA.",
        ),
        case(
            "A CA certificate as a client certificate",
            shows(ca.clone()),
            shows(ca.clone()).with(|call| {
                let trust = world.root.trust().pin(&ca.certificate());
                call.acceptor = world.acceptor_of(trust).build().expect("an acceptor");
            }),
            "`openssl req -x509` makes CA certificates. Pin it (`pin`, `--pin`), or make one with \
             `-addext basicConstraints=critical,CA:FALSE` and pin that, or have a CA issue one.",
        ),
        case(
            "A certificate for servers only",
            shows(world.alice().server_only().issue()),
            shows(world.alice().client_only().issue()),
            "Issue it with `extendedKeyUsage=clientAuth` (both uses: `clientAuth,serverAuth`).",
        ),
        case(
            "X.509 version 1",
            shows(world.alice().version(1).issue()),
            good.clone(),
            "`openssl x509 -req` without extensions makes version 1; give it `-extfile`.",
        ),
        case(
            "No identity in the certificate",
            shows(world.nameless(&world.root).dns("alice.example").issue()),
            good.clone(),
            "The certificate is trusted, but lacks the field that the server reads. `countersign \
             inspect CERTIFICATE.pem` prints the value of each field. Issue a \
             certificate with that field, or choose another extractor (`--identity`).",
        ),
        case(
            "Two identities in the certificate",
            shows(world.alice().common_name("bob").issue()),
            good.clone(),
            "The server uses neither of them. Issue a certificate with one of them, or read \
             another field. Where several are valid, `all()` extracts them.",
        ),
        case(
            "Denied by policy",
            bob.clone(),
            bob.with(|call| {
                let allowed = world.acceptor_with(policy::exact([name("alice"), name("bob")]));
                call.acceptor = allowed.build().expect("an acceptor");
            }),
            "The certificate is trusted and its identity is known: only the policy has to be \
             changed, if this client should be admitted (`--allow`). Nothing is wrong with the \
             certificate.",
        ),
        case(
            "The policy does not answer",
            calls({
                let acceptor = world.acceptor().build().expect("an acceptor");
                acceptor
                    .control()
                    .set_async_policy(never, Duration::from_millis(100));
                acceptor
            }),
            good.clone(),
            "Check the service that the asynchronous policy queries, such as a database. Increase \
             its timeout, or use `policy::cached`.",
        ),
        case(
            "Denied by policy, with TLS 1.2",
            twelve(
                world
                    .acceptor_with(policy::exact([]))
                    .allow_tls12()
                    .build()
                    .expect("an acceptor"),
            ),
            twelve(world.acceptor().allow_tls12().build().expect("an acceptor")),
            "As with TLS 1.3. The alert is the same in both versions.",
        ),
        case(
            "TLS 1.2 only",
            good.with(|call| call.tls = Tls::V12),
            twelve(world.acceptor().allow_tls12().build().expect("an acceptor")),
            "Update the client, or enable TLS 1.3 in it; or allow TLS 1.2 on the server \
             (`allow_tls12()`, `--tls12`).",
        ),
        case(
            "TLS 1.2 without extended master secret",
            twelve(world.acceptor().allow_tls12().build().expect("an acceptor"))
                .with(|call| call.speaks = Speaks::TlsWithoutEms),
            twelve(world.acceptor().allow_tls12().build().expect("an acceptor")),
            "Enable TLS 1.3 in the client, or update it. TLS 1.2 requires the extended master \
             secret (RFC 7627), because a session without it is not bound to its certificates. Go \
             supports it since 1.21.",
        ),
        case(
            "TLS 1.2 without forward secrecy",
            twelve(world.acceptor().allow_tls12().build().expect("an acceptor"))
                .with(|call| call.speaks = Speaks::TlsByRsa),
            twelve(world.acceptor().allow_tls12().build().expect("an acceptor")),
            "Enable cipher suites with ECDHE in the client. Its list of ciphers has none (curl \
             `--ciphers`, OpenSSL `-cipher`).",
        ),
        case(
            "No application protocol in common",
            good.with(|call| call.speaks = Speaks::TlsWithUnknownAlpn),
            good.clone(),
            "Compare the client's ALPN protocols with those of the server's builder (`alpn`). A \
             client that offers none is admitted.",
        ),
        case(
            "Plain HTTP",
            good.with(|call| call.speaks = Speaks::PlainHttp),
            good.clone(),
            "Write `https://`. Behind a proxy, configure it to use TLS to the server.",
        ),
        case(
            "The client does not trust the server",
            good.with(|call| call.ca.clone_from(&world.stranger_file)),
            good.clone(),
            "Give the client the CA of the *server's* certificate: curl `--cacert`, OpenSSL \
             `-CAfile`, Python `cafile`, Java a trust store, Go `RootCAs`, Node `ca`, GnuTLS \
             `--x509cafile`. Configure the server to send its intermediates.",
        ),
        case(
            "The server's certificate is for another name",
            good.with(|call| call.host = "127.0.0.1"),
            good.clone(),
            "Connect to a name in the server's certificate, or issue a certificate with the name (or \
             the IP address) as a subject alternative name. The common name does not \
             count.",
        ),
        case(
            "The client waits for the server to begin",
            good.with(|call| {
                let acceptor = world
                    .acceptor()
                    .handshake_timeout(Duration::from_millis(200));
                call.acceptor = acceptor.build().expect("an acceptor");
                call.speaks = Speaks::Smtp;
            }),
            good.clone(),
            "The port uses TLS from the first byte, without STARTTLS, and the client sends first. \
             A health check that only connects has the same result.",
        ),
        case(
            "The client gives up waiting",
            good.with(|call| call.wait = Some(Duration::from_millis(500))),
            good.clone(),
            "The port is open, but the server is overloaded or its process is stopped. Check its \
             CPU and `max_handshakes`, or increase the client's timeout (curl \
             `--connect-timeout`).",
        ),
    ];
    cases.extend(chains::cases(world, &good));
    cases.extend(names::cases(world, &good));
    cases.extend(servers::cases(world, &good));
    cases
}
