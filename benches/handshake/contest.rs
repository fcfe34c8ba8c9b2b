//! Ours, raw rustls, blind rustls and the floor, in turns.

use std::sync::Arc;
use std::time::Duration;

use countersign::identity::DnsName;
use countersign::{Acceptor, Connector};
use rustls::{ClientConfig, ServerConfig};

use crate::case::{Case, Kind, Side};
use crate::floor::Floor;
use crate::world::{Counter, Sight, World};

/// A way to use both libraries.
pub(crate) trait Door {
    /// Makes a connection, and tells what each side took.
    ///
    /// # Panics
    /// If the handshake was resumed and should not have been, or the other way round: a number for
    /// that would be worse than none.
    fn handshake(&self, server: Server<'_>, client: Client<'_>, resumed: bool) -> Spent;
}

#[derive(Clone, Copy)]
pub(crate) enum Server<'a> {
    Ours(&'a Acceptor<DnsName>),
    Raw(&'a Arc<ServerConfig>),
}

#[derive(Clone, Copy)]
pub(crate) enum Client<'a> {
    Ours(&'a Connector<DnsName>),
    Raw(&'a Arc<ClientConfig>),
}

pub(crate) struct Spent {
    pub(crate) server: Duration,
    pub(crate) client: Duration,
}

/// What the timed side took in one round.
#[derive(Clone, Copy)]
pub(crate) struct Round {
    pub(crate) ours: Duration,
    pub(crate) raw: Duration,
    /// Without verifying the chain, where ours is known.
    pub(crate) blind: Option<Duration>,
    /// Of a full handshake.
    pub(crate) floor: Option<Duration>,
}

/// Our side and two raw ones, with raw peers.
pub(crate) struct Contest<'a> {
    world: &'a World<'a>,
    case: Case,
    door: &'a dyn Door,
    ends: Ends,
    floor: Floor,
    identities_read: Counter,
    rounds: usize,
}

enum Ends {
    Servers {
        ours: Acceptor<DnsName>,
        raw: Arc<ServerConfig>,
        blind: Arc<ServerConfig>,
        peers: Peers<ClientConfig>,
    },
    Clients {
        ours: Connector<DnsName>,
        raw: Arc<ClientConfig>,
        blind: Arc<ClientConfig>,
        peers: Peers<ServerConfig>,
    },
}

/// Who is timed.
#[derive(Clone, Copy)]
enum Who {
    Ours,
    Raw,
    Blind,
}

/// Those that take turns; there is one, unless it is for first sight.
struct Peers<C> {
    of_ours: Vec<Arc<C>>,
    /// The same, but for the sessions.
    of_raw: Vec<Arc<C>>,
}

impl<'a> Contest<'a> {
    pub(crate) fn new(
        world: &'a World<'a>,
        case: Case,
        door: &'a dyn Door,
        strangers: usize,
    ) -> Self {
        let Case { side, kind, .. } = case;
        let raw_server = |sight| world.raw_server(side, kind, sight);
        let raw_client = |sight| world.raw_client(side, kind, sight);
        let identities_read = Counter::default();
        let ends = match side {
            Side::Server => Ends::Servers {
                ours: world.acceptor(&identities_read),
                raw: raw_server(Sight::Full).into(),
                blind: raw_server(Sight::Blind).into(),
                peers: Peers::new(
                    kind,
                    || raw_client(Sight::Full),
                    |config| world.strange_clients(config, strangers),
                ),
            },
            Side::Client => Ends::Clients {
                ours: world.connector(&identities_read),
                raw: raw_client(Sight::Full).into(),
                blind: raw_client(Sight::Blind).into(),
                peers: Peers::new(
                    kind,
                    || raw_server(Sight::Full),
                    |config| world.strange_servers(config, strangers),
                ),
            },
        };
        let contest = Self {
            world,
            case,
            door,
            ends,
            floor: Floor::new(world, side),
            identities_read,
            rounds: 0,
        };
        // The first handshake is full, and brings the tickets for those after it.
        contest.handshake(Who::Ours, false);
        contest.handshake(Who::Raw, false);
        contest
    }

    /// One handshake of each, in changing order.
    pub(crate) fn round(&mut self) -> Round {
        self.rounds += 1;
        if self.case.kind == Kind::FirstSight && self.turn() == 0 {
            self.forget_peers();
        }
        let kind = self.case.kind;
        let time = |who| self.handshake(who, kind == Kind::Resumed);
        let time_blind = || (kind == Kind::Known).then(|| time(Who::Blind));
        let time_floor = || (kind != Kind::Resumed).then(|| self.floor.spend());
        if self.rounds.is_multiple_of(2) {
            Round {
                floor: time_floor(),
                blind: time_blind(),
                ours: time(Who::Ours),
                raw: time(Who::Raw),
            }
        } else {
            Round {
                raw: time(Who::Raw),
                ours: time(Who::Ours),
                blind: time_blind(),
                floor: time_floor(),
            }
        }
    }

    /// Shows that chains were known, or unknown, as they should have been.
    ///
    /// # Panics
    /// If not.
    pub(crate) fn check(&self) {
        let expected = match self.case.kind {
            Kind::Known | Kind::Resumed => 1,
            Kind::FirstSight => self.rounds + 1,
        };
        assert_eq!(self.identities_read.get(), expected, "{}", self.case);
    }

    /// Which of the peers it is.
    fn turn(&self) -> usize {
        let peers = match &self.ends {
            Ends::Servers { peers, .. } => peers.of_ours.len(),
            Ends::Clients { peers, .. } => peers.of_ours.len(),
        };
        self.rounds % peers
    }

    /// Replaces ours by one that has met nobody.
    fn forget_peers(&mut self) {
        match &mut self.ends {
            Ends::Servers { ours, .. } => *ours = self.world.acceptor(&self.identities_read),
            Ends::Clients { ours, .. } => *ours = self.world.connector(&self.identities_read),
        }
    }

    fn handshake(&self, who: Who, resumed: bool) -> Duration {
        let turn = self.turn();
        match &self.ends {
            Ends::Servers {
                ours,
                raw,
                blind,
                peers,
            } => {
                let (server, client) = match who {
                    Who::Ours => (Server::Ours(ours), &peers.of_ours[turn]),
                    Who::Raw => (Server::Raw(raw), &peers.of_raw[turn]),
                    Who::Blind => (Server::Raw(blind), &peers.of_raw[turn]),
                };
                let spent = self.door.handshake(server, Client::Raw(client), resumed);
                spent.server
            }
            Ends::Clients {
                ours,
                raw,
                blind,
                peers,
            } => {
                let (client, server) = match who {
                    Who::Ours => (Client::Ours(ours), &peers.of_ours[turn]),
                    Who::Raw => (Client::Raw(raw), &peers.of_raw[turn]),
                    Who::Blind => (Client::Raw(blind), &peers.of_raw[turn]),
                };
                let spent = self.door.handshake(Server::Raw(server), client, resumed);
                spent.client
            }
        }
    }
}

impl<C> Peers<C> {
    fn new(kind: Kind, config: impl Fn() -> C, strangers: impl FnOnce(&C) -> Vec<Arc<C>>) -> Self {
        if kind == Kind::FirstSight {
            let strangers = strangers(&config());
            return Self {
                of_ours: strangers.clone(),
                of_raw: strangers,
            };
        }
        Self {
            of_ours: vec![Arc::new(config())],
            of_raw: vec![Arc::new(config())],
        }
    }
}
