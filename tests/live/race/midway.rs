//! Rules that change at a chosen moment of a connection's opening, by the hand of what the gate
//! asks at that moment.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use countersign::identity::{DnsName, IdentityExtractor as _};
use countersign::pki::{Certificate, Crl};
use countersign::policy::{DenyEntry, DenyList};
use countersign::testing::{self, Accepted, Connected, Issued, TestCa};
use countersign::trust::Crls;
use countersign::{Acceptor, Connector, Decision, Peer, Update, policy};
use rustls::time_provider::TimeProvider;
use rustls_pki_types::UnixTime;

use support::SERVER;

/// Who watches its peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Server,
    Client,
}

/// When the change comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// While the identity is read.
    Extractor,
    /// While the policy thinks.
    Policy,
    /// When it has answered, and the gate reads its clock once more.
    Conclusion,
}

/// What changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Policy,
    AsyncPolicy,
    DenyList,
    Trust,
    Crls,
}

type Change = Box<dyn FnOnce() + Send>;

/// Runs a change once.
#[derive(Clone, Default)]
struct Hook(Arc<Mutex<Option<Change>>>);

impl Hook {
    fn set(&self, change: impl FnOnce() + Send + 'static) {
        *self.0.lock().unwrap() = Some(Box::new(change));
    }

    fn fire(&self) {
        // The lock is given back first: the change asks the same policy and the same clock.
        let change = self.0.lock().unwrap().take();
        if let Some(change) = change {
            change();
        }
    }

    fn is_set(&self) -> bool {
        self.0.lock().unwrap().is_some()
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hook")
    }
}

/// The system's clock, with a hook.
#[derive(Debug)]
struct Clock(Hook);

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        self.0.fire();
        Some(UnixTime::now())
    }
}

/// The side that watches.
#[derive(Clone)]
enum Watching {
    Server(Acceptor<DnsName>),
    Client(Connector<DnsName>),
}

impl Watching {
    fn update(&self, update: Update) {
        match self {
            Self::Server(acceptor) => acceptor.control().update(update).unwrap(),
            Self::Client(connector) => connector.control().update(update).unwrap(),
        };
    }

    fn set_policy(&self, policy: impl policy::Policy<DnsName> + 'static) {
        match self {
            Self::Server(acceptor) => acceptor.control().set_policy(policy),
            Self::Client(connector) => connector.control().set_policy(policy),
        }
    }

    fn set_async_policy(&self, policy: impl policy::AsyncPolicy<DnsName> + 'static) {
        let timeout = Duration::from_secs(5);
        match self {
            Self::Server(acceptor) => acceptor.control().set_async_policy(policy, timeout),
            Self::Client(connector) => connector.control().set_async_policy(policy, timeout),
        }
    }
}

/// A side that watches, the other one, and where the rules can be changed from.
pub(crate) struct World {
    ca: TestCa,
    other_ca: TestCa,
    /// The certificate of the peer that is watched.
    peer: Issued,
    deny_list: DenyList<DnsName>,
    extractor: Hook,
    policy: Hook,
    clock: Hook,
    watching: Watching,
    other: Watching,
}

impl World {
    pub(crate) fn new(side: Side, is_async: bool) -> Self {
        let (ca, other_ca) = (TestCa::new("Root"), TestCa::new("Other"));
        let (extractor, policy, clock) = (Hook::default(), Hook::default(), Hook::default());
        let deny_list = DenyList::new();
        let server = ca.leaf().dns(SERVER).issue();
        let client = ca.leaf().dns("client.example").issue();
        let identify = {
            let hook = extractor.clone();
            move |certificate: &Certificate| {
                hook.fire();
                DnsName::extractor().extract(certificate)
            }
        };
        let authorize = {
            let hook = policy.clone();
            move |_: &Peer<DnsName>| {
                hook.fire();
                Decision::allow("before")
            }
        };
        // The cache is off, so that each connection's identity is read.
        let watching = match side {
            Side::Server => Watching::Server(
                Acceptor::builder()
                    .credentials(server.credentials())
                    .trust(ca.trust())
                    .identify(identify)
                    .authorize(authorize)
                    .deny_list(&deny_list)
                    .verification_cache(0)
                    .clock(Clock(clock.clone()))
                    .build()
                    .unwrap(),
            ),
            Side::Client => Watching::Client(
                Connector::builder()
                    .credentials(client.credentials())
                    .trust(ca.trust())
                    .identify(identify)
                    .authorize(authorize)
                    .deny_list(&deny_list)
                    .verification_cache(0)
                    .clock(Clock(clock.clone()))
                    .build()
                    .unwrap(),
            ),
        };
        if is_async {
            let hook = policy.clone();
            watching.set_async_policy(move |_: Peer<DnsName>| {
                let hook = hook.clone();
                async move {
                    tokio::task::yield_now().await;
                    hook.fire();
                    Decision::allow("before")
                }
            });
        }
        let other = match side {
            Side::Server => Watching::Client(support::connector(&ca, "unused").build().unwrap()),
            Side::Client => {
                Watching::Server(support::acceptor(&ca, policy::allow_any()).build().unwrap())
            }
        };
        let peer = match side {
            Side::Server => client,
            Side::Client => server,
        };
        other.update(Update::new().credentials(peer.credentials()));
        Self {
            ca,
            other_ca,
            peer,
            deny_list,
            extractor,
            policy,
            clock,
            watching,
            other,
        }
    }

    /// At this moment of the next opening, the rules change: against the peer, or in a way that
    /// does not concern it.
    pub(crate) fn change(&self, moment: Moment, what: What, concerns: bool) {
        let change = self.changing(what, concerns);
        match moment {
            Moment::Extractor => self.extractor.set(change),
            Moment::Policy => self.policy.set(change),
            Moment::Conclusion => {
                let clock = self.clock.clone();
                self.policy.set(move || clock.set(change));
            }
        }
    }

    /// Whether the change is still to come.
    pub(crate) fn is_to_change(&self) -> bool {
        self.extractor.is_set() || self.policy.is_set() || self.clock.is_set()
    }

    fn changing(&self, what: What, concerns: bool) -> Change {
        let watching = self.watching.clone();
        match what {
            What::Policy => {
                Box::new(move || watching.set_policy(move |_: &Peer<DnsName>| after(concerns)))
            }
            What::AsyncPolicy => Box::new(move || {
                watching.set_async_policy(move |_: Peer<DnsName>| async move {
                    tokio::task::yield_now().await;
                    after(concerns)
                });
            }),
            What::DenyList => {
                let name = self.peer_name(concerns).parse().unwrap();
                let list = self.deny_list.clone();
                Box::new(move || assert!(list.insert(DenyEntry::Identity(name))))
            }
            What::Trust => {
                let trust = if concerns {
                    self.other_ca.trust()
                } else {
                    self.other_ca.trust().and(self.ca.trust())
                };
                Box::new(move || watching.update(Update::new().trust(trust)))
            }
            What::Crls => {
                let crl = self.ca.crl();
                let crl = if concerns {
                    crl.revoke(self.peer.serial())
                } else {
                    crl
                };
                let crls = Crls::new([Crl::from_der(&crl.build()).unwrap()]).unwrap();
                Box::new(move || watching.update(Update::new().revocation(crls)))
            }
        }
    }

    fn peer_name(&self, is_peer: bool) -> &'static str {
        match (is_peer, &self.watching) {
            (true, Watching::Server(_)) => "client.example",
            (true, Watching::Client(_)) => SERVER,
            (false, _) => "unconcerned.example",
        }
    }

    /// Opens a connection: what the side that watches made of it, with the rule or the reason.
    pub(crate) async fn open(&self) -> Opened {
        match (&self.watching, &self.other) {
            (Watching::Server(acceptor), Watching::Client(connector)) => {
                let (server, client) = testing::handshake(acceptor, connector, SERVER).await;
                Opened::server(server, client)
            }
            (Watching::Client(connector), Watching::Server(acceptor)) => {
                let (server, client) = testing::handshake(acceptor, connector, SERVER).await;
                Opened::client(server, client)
            }
            _ => unreachable!("one of each"),
        }
    }

    /// How many connections the side that watches has open.
    pub(crate) fn count(&self) -> usize {
        match &self.watching {
            Watching::Server(acceptor) => acceptor.control().connections().len(),
            Watching::Client(connector) => connector.control().connections().len(),
        }
    }
}

/// What the rules say after a change of the policy.
fn after(denies: bool) -> Decision {
    if denies {
        Decision::deny("after")
    } else {
        Decision::allow("after")
    }
}

/// What became of a connection.
pub(crate) struct Opened {
    /// At the side that watches.
    pub(crate) watched: Result<super::Stream, &'static str>,
    /// The other end, so that it does not close.
    _other: Option<super::Stream>,
}

impl Opened {
    fn server(server: Accepted<DnsName>, client: Connected<DnsName>) -> Self {
        Self {
            watched: server.map_err(|error| error.reason()),
            _other: client.ok(),
        }
    }

    fn client(server: Accepted<DnsName>, client: Connected<DnsName>) -> Self {
        Self {
            watched: client.map_err(|error| error.reason()),
            _other: server.ok(),
        }
    }
}
