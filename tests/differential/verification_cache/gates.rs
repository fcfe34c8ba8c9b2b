//! Three gates that differ in how much they remember.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use countersign::identity::{IdentityExtractor as _, SpiffeId};
use countersign::pki::Certificate;
use countersign::policy::DenyList;
use countersign::testing::FixedClock;
use countersign::trust::Anchor;
use countersign::{Acceptor, ConnectionInfo, Connector, Control, Decision, Peer, Update};
use rustls_pki_types::UnixTime;

use super::operations::{Operation, Rule, Side};
use super::world::{Chain, World};

/// How many chains they remember: none; less than a sequence has, so that some give way; all.
const CAPACITIES: [usize; 3] = [0, 3, 4096];

pub(crate) struct Gates<'w> {
    world: &'w World,
    gates: [OneGate; 3],
    clock: FixedClock,
    deny_list: DenyList<SpiffeId>,
}

struct OneGate {
    door: Door,
    asked: Arc<AtomicUsize>,
}

enum Door {
    Acceptor(Acceptor<SpiffeId>),
    Connector(Connector<SpiffeId>),
}

/// What a gate said of a chain.
#[derive(Debug, PartialEq)]
pub(crate) enum Verdict {
    Admitted {
        identity: String,
        rule: String,
        path: (Vec<Certificate>, Anchor, UnixTime),
    },
    Refused {
        reason: &'static str,
        of: Option<Certificate>,
    },
}

impl Verdict {
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Admitted { .. } => "good",
            Self::Refused { reason, .. } => reason,
        }
    }
}

impl<'w> Gates<'w> {
    pub(crate) fn new(world: &'w World, side: Side, with_lists: bool) -> Self {
        let clock = FixedClock::at(world.start);
        let deny_list = DenyList::new();
        let gates = CAPACITIES.map(|capacity| {
            let asked = Arc::<AtomicUsize>::default();
            let door = Door::new(
                world, side, with_lists, &clock, &deny_list, capacity, &asked,
            );
            OneGate { door, asked }
        });
        let gates = Self {
            world,
            gates,
            clock,
            deny_list,
        };
        // Between the edges, where most certificates are good.
        gates.change(&Operation::SetClock(150));
        gates
    }

    pub(crate) fn decide(&self, chain: &Chain, name: &str) -> [Verdict; 3] {
        self.gates
            .each_ref()
            .map(|gate| gate.door.decide(chain, name))
    }

    /// How often each asked its extractor: of chains that it did not know.
    pub(crate) fn asked(&self) -> [usize; 3] {
        self.gates
            .each_ref()
            .map(|gate| gate.asked.load(Ordering::Relaxed))
    }

    pub(crate) fn change(&self, operation: &Operation) {
        let world = self.world;
        let trust = |index: usize| world.trusts[index].clone();
        let revocation = |index: usize| world.revocations[index].clone();
        let denial = |index: usize| world.denials[index].clone();
        let update = |update: &dyn Fn() -> Update| {
            // A set of lists that does not fit the trust is refused, by all or by none.
            let taken = self.gates.each_ref().map(|gate| gate.door.update(update()));
            assert!(
                taken.iter().all(|one| *one == taken[0]),
                "{operation:?}: {taken:?}"
            );
        };
        match operation {
            Operation::Present { .. } => {}
            Operation::SetClock(second) => {
                let now = Duration::from_secs(world.start.as_secs() + second);
                self.clock.set(UnixTime::since_unix_epoch(now));
            }
            Operation::SetTrust(index) => update(&|| Update::new().trust(trust(*index))),
            Operation::SetRevocation(index) => {
                update(&|| Update::new().revocation(revocation(*index)));
            }
            Operation::SetBoth(one, other) => {
                update(&|| {
                    Update::new()
                        .trust(trust(*one))
                        .revocation(revocation(*other))
                });
            }
            Operation::Renew => update(&Update::new),
            Operation::Deny(index) => drop(self.deny_list.insert(denial(*index))),
            Operation::AllowAgain(index) => drop(self.deny_list.remove(&denial(*index))),
            Operation::ReplaceDenials(entries) => {
                self.deny_list
                    .replace(entries.iter().map(|index| denial(*index)));
            }
            Operation::SetPolicy(rule) => {
                for gate in &self.gates {
                    gate.door.set_policy(*rule);
                }
            }
        }
    }
}

impl Door {
    fn new(
        world: &World,
        side: Side,
        with_lists: bool,
        clock: &FixedClock,
        deny_list: &DenyList<SpiffeId>,
        capacity: usize,
        asked: &Arc<AtomicUsize>,
    ) -> Self {
        let asked = asked.clone();
        let extractor = move |certificate: &Certificate| {
            asked.fetch_add(1, Ordering::Relaxed);
            SpiffeId::extractor().extract(certificate)
        };
        let (credentials, trust) = (world.own.credentials(), world.trusts[2].clone());
        let policy = |peer: &Peer<SpiffeId>| decide(Rule::AllowAny, peer);
        // Both sides' builders have the same options, and no trait says so.
        macro_rules! finish {
            ($start:expr) => {{
                let mut builder = $start
                    .credentials(credentials)
                    .trust(trust)
                    .identify(extractor)
                    .authorize(policy)
                    .clock(clock.clone())
                    .deny_list(deny_list)
                    .verification_cache(capacity);
                if with_lists {
                    builder = builder.revocation(world.revocations[0].clone());
                }
                builder.build().unwrap()
            }};
        }
        match side {
            Side::Clients => Self::Acceptor(finish!(Acceptor::builder())),
            Side::Servers => Self::Connector(finish!(Connector::builder())),
        }
    }

    fn gate(&self) -> &Control<SpiffeId> {
        match self {
            Self::Acceptor(acceptor) => acceptor.control(),
            Self::Connector(connector) => connector.control(),
        }
    }

    fn update(&self, update: Update) -> Result<u64, &'static str> {
        let taken = match self {
            Self::Acceptor(acceptor) => acceptor.control().update(update),
            Self::Connector(connector) => connector.control().update(update),
        };
        taken.map_err(|error| error.reason())
    }

    fn set_policy(&self, rule: Rule) {
        let policy = move |peer: &Peer<SpiffeId>| decide(rule, peer);
        match self {
            Self::Acceptor(acceptor) => acceptor.control().set_policy(policy),
            Self::Connector(connector) => connector.control().set_policy(policy),
        }
    }

    fn decide(&self, chain: &Chain, name: &str) -> Verdict {
        let info = ConnectionInfo::default().with_server_name(name);
        match self.gate().admit_chain(&chain.certificates, info) {
            Ok(admission) => {
                let peer = admission.peer();
                let path = peer.chain();
                Verdict::Admitted {
                    identity: peer.identity().to_string(),
                    rule: admission.rule().to_owned(),
                    path: (
                        path.certificates().to_vec(),
                        path.anchor().clone(),
                        path.not_after(),
                    ),
                }
            }
            Err(error) => Verdict::Refused {
                reason: error.reason(),
                of: error.certificate().cloned(),
            },
        }
    }
}

fn decide(rule: Rule, peer: &Peer<SpiffeId>) -> Decision {
    let allowed = match rule {
        Rule::AllowAny => true,
        Rule::DenyAll => false,
        Rule::OnlyDomainA => peer.identity().trust_domain().as_str() == "a.example",
        Rule::OnlyShortPaths => peer.chain().certificates().len() < 2,
    };
    match allowed {
        true => Decision::allow(format!("{rule:?}")),
        false => Decision::deny("not by this rule"),
    }
}
