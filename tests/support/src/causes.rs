//! What can end a client's welcome between two of its connections, and what makes up for it.

use std::time::Duration;

use countersign::builder::{Builder, ServerSide};
use countersign::identity::{DnsName, SerialAndIssuer};
use countersign::pki::Crl;
use countersign::policy::{DenyEntry, DenyList};
use countersign::testing::{FixedClock, Issued, TestCa};
use countersign::trust::Crls;
use countersign::{Acceptor, Resumption, TrustStore, Update, policy};
use rustls::AlertDescription;
use rustls_pki_types::UnixTime;

use crate::{SERVER, deny_all};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    Expired,
    Revoked,
    RootRemoved,
    PinRemoved,
    PolicyFlipped,
    SerialDenied,
    KeyDenied,
    IdentityDenied,
}

pub const CAUSES: [Cause; 8] = [
    Cause::Expired,
    Cause::Revoked,
    Cause::RootRemoved,
    Cause::PinRemoved,
    Cause::PolicyFlipped,
    Cause::SerialDenied,
    Cause::KeyDenied,
    Cause::IdentityDenied,
];

/// How a client is refused that offers a session from before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub reason: &'static str,
    pub alert: AlertDescription,
    /// Where trust changed, the session is gone and a full handshake is refused. Where only the
    /// policy or the deny list did, the session is good, and the one who resumes it is not welcome.
    pub resumed: bool,
}

impl Cause {
    pub fn refusal(self) -> Refusal {
        use AlertDescription as A;

        let (reason, alert, resumed) = match self {
            Self::Expired => ("expired", A::CertificateExpired, false),
            Self::Revoked => ("revoked", A::CertificateRevoked, false),
            Self::RootRemoved | Self::PinRemoved => ("unknown_issuer", A::UnknownCA, false),
            Self::PolicyFlipped => ("denied", A::AccessDenied, true),
            Self::SerialDenied | Self::KeyDenied => ("deny_listed", A::CertificateRevoked, true),
            Self::IdentityDenied => ("deny_listed", A::AccessDenied, true),
        };
        Refusal {
            reason,
            alert,
            resumed,
        }
    }

    /// Whether a session from before is good again when the cause is gone: new trust never takes
    /// one of the old, not even if it says the same.
    pub fn leaves_the_session(self) -> bool {
        self == Self::Expired || self.refusal().resumed
    }
}

/// An acceptor, one client that it admits, and the cause for which it will not.
pub struct World {
    pub acceptor: Acceptor<DnsName>,
    pub client: Issued,
    /// The server's, and trusted throughout.
    pub ca: TestCa,
    /// The client's.
    clients: TestCa,
    clock: FixedClock,
    denied: DenyList<DnsName>,
    cause: Cause,
}

const AN_HOUR: Duration = Duration::from_secs(3600);

impl World {
    pub fn new(cause: Cause, resumption: Resumption) -> Self {
        Self::customized(cause, resumption, |builder| builder)
    }

    pub fn customized(
        cause: Cause,
        resumption: Resumption,
        customize: impl FnOnce(Builder<ServerSide, DnsName>) -> Builder<ServerSide, DnsName>,
    ) -> Self {
        let (ca, clients) = (TestCa::new("Servers"), TestCa::new("Clients"));
        let clock = FixedClock::now();
        let now = clock.time().as_secs();
        let at = |secs| UnixTime::since_unix_epoch(Duration::from_secs(secs));
        let leaf = clients.leaf().dns("client.example");
        let client = match cause {
            Cause::Expired => leaf.validity(at(now), at(now + AN_HOUR.as_secs())).issue(),
            Cause::PinRemoved => leaf.self_signed(),
            _ => leaf.issue(),
        };
        let denied = DenyList::new();
        let builder = Acceptor::builder()
            .credentials(ca.leaf().dns(SERVER).issue().credentials())
            .trust(trust(&ca, &clients, &client, cause))
            .identify(DnsName::extractor())
            .authorize(policy::allow_any())
            .allow_tls12()
            .clock(clock.clone())
            .deny_list(&denied)
            .resumption(resumption);
        let builder = match cause {
            Cause::Revoked => builder.revocation(crl(&clients, 1, None)),
            _ => builder,
        };
        Self {
            acceptor: customize(builder).build().unwrap(),
            client,
            ca,
            clients,
            clock,
            denied,
            cause,
        }
    }

    /// Ends the client's welcome.
    pub fn happen(&self) {
        match self.cause {
            Cause::Expired => self.clock.advance(AN_HOUR + Duration::from_secs(1)),
            Cause::Revoked => self.revoke(2, Some(&self.client)),
            Cause::RootRemoved => self.trust(self.ca.trust()),
            Cause::PinRemoved => self.trust(self.ca.trust().and(self.clients.trust())),
            Cause::PolicyFlipped => self.acceptor.control().set_policy(deny_all),
            Cause::SerialDenied | Cause::KeyDenied | Cause::IdentityDenied => {
                assert!(self.denied.insert(self.entry()));
            }
        }
    }

    /// Makes the client welcome again.
    pub fn make_up(&self) {
        match self.cause {
            Cause::Expired => {
                let late = self.clock.time().as_secs();
                let early = Duration::from_secs(late - 1) - AN_HOUR;
                self.clock.set(UnixTime::since_unix_epoch(early));
            }
            Cause::Revoked => self.revoke(3, None),
            Cause::RootRemoved | Cause::PinRemoved => {
                self.trust(trust(&self.ca, &self.clients, &self.client, self.cause));
            }
            Cause::PolicyFlipped => self.acceptor.control().set_policy(policy::allow_any()),
            Cause::SerialDenied | Cause::KeyDenied | Cause::IdentityDenied => {
                assert!(self.denied.remove(&self.entry()));
            }
        }
    }

    fn trust(&self, trust: TrustStore) {
        self.acceptor
            .control()
            .update(Update::new().trust(trust))
            .unwrap();
    }

    fn revoke(&self, number: u64, revoked: Option<&Issued>) {
        let crls = crl(&self.clients, number, revoked);
        let update = Update::new().revocation(crls);
        self.acceptor.control().update(update).unwrap();
    }

    fn entry(&self) -> DenyEntry<DnsName> {
        let certificate = self.client.certificate();
        match self.cause {
            Cause::SerialDenied => DenyEntry::Serial(SerialAndIssuer::of(&certificate).unwrap()),
            Cause::KeyDenied => DenyEntry::Key(certificate.spki_sha256()),
            _ => DenyEntry::Identity("client.example".parse().unwrap()),
        }
    }
}

fn trust(ca: &TestCa, clients: &TestCa, client: &Issued, cause: Cause) -> TrustStore {
    let both = ca.trust().and(clients.trust());
    match cause {
        Cause::PinRemoved => both.pin(&client.certificate()),
        _ => both,
    }
}

fn crl(ca: &TestCa, number: u64, revoked: Option<&Issued>) -> Crls {
    let list = ca.crl().number(number);
    let list = match revoked {
        Some(issued) => list.revoke(issued.serial()),
        None => list,
    };
    Crls::new([Crl::from_der(&list.build()).unwrap()]).unwrap()
}
