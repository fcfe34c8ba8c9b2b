//! countersign, raw rustls with and without verification of chains, and the floor, in turns.

use std::sync::Arc;
use std::time::Duration;

use countersign::identity::DnsName;
use countersign::{Acceptor, Connector};
use rustls::{ClientConfig, ServerConfig};

use crate::case::{Case, Kind, Side};
use crate::fixture::{Counter, Fixture, Verification};
use crate::floor::Floor;

/// An API through which both libraries make connections: asynchronous or blocking.
pub trait Driver {
    /// Makes a connection, and returns the time that each side spent.
    ///
    /// # Panics
    /// If the handshake was resumed and should not have been, or was not and should have been.
    fn handshake(&self, server: Server<'_>, client: Client<'_>, resumed: bool) -> Spent;
}

#[derive(Clone, Copy)]
pub enum Server<'a> {
    Ours(&'a Acceptor<DnsName>),
    Raw(&'a Arc<ServerConfig>),
}

#[derive(Clone, Copy)]
pub enum Client<'a> {
    Ours(&'a Connector<DnsName>),
    Raw(&'a Arc<ClientConfig>),
}

pub struct Spent {
    pub server: Duration,
    pub client: Duration,
}

/// The times that the timed side spent in one round.
#[derive(Clone, Copy)]
pub struct Round {
    pub ours: Duration,
    pub raw: Duration,
    /// raw rustls without verification of the chain, for a known chain.
    pub no_verify: Option<Duration>,
    /// The minimal cryptography of a full handshake.
    pub floor: Option<Duration>,
}

/// countersign's side and two raw ones, with raw peers.
pub struct Comparison<'a> {
    fixture: &'a Fixture<'a>,
    case: Case,
    driver: &'a dyn Driver,
    endpoints: Endpoints,
    floor: Floor,
    identities_read: Counter,
    handshakes_of_ours: Counter,
    rounds: usize,
}

enum Endpoints {
    Servers {
        ours: Acceptor<DnsName>,
        raw: Arc<ServerConfig>,
        no_verify: Arc<ServerConfig>,
        peers: Peers<ClientConfig>,
    },
    Clients {
        ours: Connector<DnsName>,
        raw: Arc<ClientConfig>,
        no_verify: Arc<ClientConfig>,
        peers: Peers<ServerConfig>,
    },
}

/// The implementation of the timed side.
#[derive(Clone, Copy)]
pub enum Implementation {
    Ours,
    Raw,
    NoVerify,
}

/// Peers that take turns. There is one, except for first sight.
struct Peers<C> {
    of_ours: Vec<Arc<C>>,
    /// The same configurations, with sessions of their own.
    of_raw: Vec<Arc<C>>,
}

impl<'a> Comparison<'a> {
    pub fn new(
        fixture: &'a Fixture<'a>,
        case: Case,
        driver: &'a dyn Driver,
        new_peers: usize,
    ) -> Self {
        let Case { side, kind, .. } = case;
        let raw_server = |verification| fixture.raw_server(side, kind, verification);
        let raw_client = |verification| fixture.raw_client(side, kind, verification);
        let identities_read = Counter::default();
        let endpoints = match side {
            Side::Server => Endpoints::Servers {
                ours: fixture.acceptor(&identities_read),
                raw: raw_server(Verification::Full).into(),
                no_verify: raw_server(Verification::Skipped).into(),
                peers: Peers::new(
                    kind,
                    || raw_client(Verification::Full),
                    |config| fixture.new_clients(config, new_peers),
                ),
            },
            Side::Client => Endpoints::Clients {
                ours: fixture.connector(&identities_read),
                raw: raw_client(Verification::Full).into(),
                no_verify: raw_client(Verification::Skipped).into(),
                peers: Peers::new(
                    kind,
                    || raw_server(Verification::Full),
                    |config| fixture.new_servers(config, new_peers),
                ),
            },
        };
        let comparison = Self {
            fixture,
            case,
            driver,
            endpoints,
            floor: Floor::new(fixture, side),
            identities_read,
            handshakes_of_ours: Counter::default(),
            rounds: 0,
        };
        // The first handshake is full, and receives the tickets for the next ones.
        comparison.connect(Implementation::Ours, false);
        comparison.connect(Implementation::Raw, false);
        comparison
    }

    /// One handshake of each implementation, in alternating order.
    pub fn round(&mut self) -> Round {
        self.next_peer();
        let kind = self.case.kind;
        let time = |implementation| self.handshake(implementation);
        let time_no_verify = || (kind == Kind::Known).then(|| time(Implementation::NoVerify));
        let time_floor = || (kind != Kind::Resumed).then(|| self.floor.spend());
        if self.rounds.is_multiple_of(2) {
            Round {
                floor: time_floor(),
                no_verify: time_no_verify(),
                ours: time(Implementation::Ours),
                raw: time(Implementation::Raw),
            }
        } else {
            Round {
                raw: time(Implementation::Raw),
                ours: time(Implementation::Ours),
                no_verify: time_no_verify(),
                floor: time_floor(),
            }
        }
    }

    /// Goes on to the next peer, for first sight.
    pub fn next_peer(&mut self) {
        self.rounds += 1;
        if self.case.kind == Kind::FirstSight && self.turn() == 0 {
            self.forget_peers();
        }
    }

    /// The time that the timed side spends in one handshake of the case.
    pub fn handshake(&self, implementation: Implementation) -> Duration {
        self.connect(implementation, self.case.kind == Kind::Resumed)
    }

    /// Checks that chains were known, or unknown, as the case requires.
    ///
    /// # Panics
    /// If they were not.
    pub fn check(&self) {
        let expected = match self.case.kind {
            Kind::Known | Kind::Resumed => 1,
            Kind::FirstSight => self.handshakes_of_ours.get(),
        };
        assert_eq!(self.identities_read.get(), expected, "{}", self.case);
    }

    /// The index of the next peer.
    fn turn(&self) -> usize {
        let peers = match &self.endpoints {
            Endpoints::Servers { peers, .. } => peers.of_ours.len(),
            Endpoints::Clients { peers, .. } => peers.of_ours.len(),
        };
        self.rounds % peers
    }

    /// Replaces countersign's side by a new one that has verified no chain.
    fn forget_peers(&mut self) {
        match &mut self.endpoints {
            Endpoints::Servers { ours, .. } => *ours = self.fixture.acceptor(&self.identities_read),
            Endpoints::Clients { ours, .. } => {
                *ours = self.fixture.connector(&self.identities_read)
            }
        }
    }

    fn connect(&self, implementation: Implementation, resumed: bool) -> Duration {
        let turn = self.turn();
        if matches!(implementation, Implementation::Ours) {
            self.handshakes_of_ours.add();
        }
        match &self.endpoints {
            Endpoints::Servers {
                ours,
                raw,
                no_verify,
                peers,
            } => {
                let (server, client) = match implementation {
                    Implementation::Ours => (Server::Ours(ours), &peers.of_ours[turn]),
                    Implementation::Raw => (Server::Raw(raw), &peers.of_raw[turn]),
                    Implementation::NoVerify => (Server::Raw(no_verify), &peers.of_raw[turn]),
                };
                let spent = self.driver.handshake(server, Client::Raw(client), resumed);
                spent.server
            }
            Endpoints::Clients {
                ours,
                raw,
                no_verify,
                peers,
            } => {
                let (client, server) = match implementation {
                    Implementation::Ours => (Client::Ours(ours), &peers.of_ours[turn]),
                    Implementation::Raw => (Client::Raw(raw), &peers.of_raw[turn]),
                    Implementation::NoVerify => (Client::Raw(no_verify), &peers.of_raw[turn]),
                };
                let spent = self.driver.handshake(Server::Raw(server), client, resumed);
                spent.client
            }
        }
    }
}

impl<C> Peers<C> {
    fn new(kind: Kind, config: impl Fn() -> C, new_peers: impl FnOnce(&C) -> Vec<Arc<C>>) -> Self {
        if kind == Kind::FirstSight {
            let new_peers = new_peers(&config());
            return Self {
                of_ours: new_peers.clone(),
                of_raw: new_peers,
            };
        }
        Self {
            of_ours: vec![Arc::new(config())],
            of_raw: vec![Arc::new(config())],
        }
    }
}
