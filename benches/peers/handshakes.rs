//! CPU of the server per handshake: full, with a new client certificate, and resumed.

use std::sync::Arc;

use rustls::ClientConfig;

use crate::BoxError;
use crate::bench::{Arena, Bench, Control, Division};
use crate::fixture::Exchange;
use crate::grid::{Column, Grid};
use crate::load::{self, Clients, Until};
use crate::subjects::{Kind, Running};

/// In the place of figures; the table of checks has what the server said.
pub const NO_HYBRID: &str = "no X25519MLKEM768";
/// Connections at a time.
const TASKS: usize = 8;

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    /// Full, always with the same client certificate.
    Full,
    /// Full, with a client certificate that the server has not seen.
    New,
    Resumed,
}

/// The columns of the two tables.
const CLASSIC: [What; 3] = [What::Full, What::New, What::Resumed];
const HYBRID: [What; 2] = [What::Full, What::Resumed];

pub struct Handshakes {
    pub controls: Vec<Control>,
    pub classic: Grid,
    pub hybrid: Grid,
}

pub fn measure(bench: &Bench) -> Result<Handshakes, BoxError> {
    let effort = bench.effort;
    let mut arena = bench.arena(Division::Apart, Kind::has_handshakes)?;
    let controls = arena.controls(&bench.fixture);
    let text = format!(
        "CPU time of the server in µs per connection, user and system, of all its processes and threads. The \
         server has one CPU and one worker. A connection is: accept, mutual TLS 1.3, one request and a small \
         response over HTTP/1.1, close. It counts when the client, which verifies the server, has read the \
         response and the end of the connection. {TASKS} connections at a time, {} in each of {} rounds; the \
         servers take turns in each round. Median (least–most) · **ratio to the first row**, the median of the \
         ratios within a round.\n\n\
         * **known client**: a full handshake, always with the same client certificate. countersign remembers \
         verified chains; the others verify the chain each time.\n\
         * **new client**: a full handshake with a client certificate that the server has not seen before.\n\
         * **resumed**: the client resumes a session, and the bench checks that it did. Servers differ in what \
         they verify again: countersign verifies and authorizes the client's chain as for a full handshake.\n\n\
         The second row admits one client by the bytes of its certificate, and sends one ticket, as countersign \
         does; rustls' default is two. It shows what rustls costs where no chain is verified.",
        effort.handshakes, effort.rounds,
    );
    let mut classic = arena.grid(
        "Handshakes, X25519",
        text,
        vec![
            Column::new("known client", 0).compared(),
            Column::new("new client", 0).compared(),
            Column::new("resumed", 0).compared(),
        ],
    );
    let mut hybrid = arena.grid(
        "Handshakes, X25519MLKEM768",
        "The same with the post-quantum hybrid, which rustls, Go and countersign prefer by default.".to_owned(),
        vec![
            Column::new("known client", 0).compared(),
            Column::new("resumed", 0).compared(),
        ],
    );
    for control in &controls {
        if control.hybrid.is_err() {
            let row = arena
                .servers
                .iter()
                .position(|(kind, _)| *kind == control.kind);
            hybrid.add::<2>(row.unwrap_or_default(), 0, Err(NO_HYBRID.to_owned()));
        }
    }
    let clients = Sets::new(bench, &arena);
    for round in 0..effort.rounds {
        eprintln!("handshakes, round {} of {}", round + 1, effort.rounds);
        for (exchange, kinds, grid) in [
            (Exchange::X25519, &CLASSIC[..], &mut classic),
            (Exchange::Hybrid, &HYBRID[..], &mut hybrid),
        ] {
            for (column, what) in kinds.iter().enumerate() {
                for (row, kind, running) in arena.in_turn(round) {
                    let is_known = kind != Kind::Floor || *what != What::New;
                    if is_known && grid.is_good(row, column) {
                        let set = clients.of(row, round, exchange, *what);
                        let cost = cost(&arena, running, &set, *what, effort.handshakes);
                        grid.add(row, column, cost.map(|micros| [micros]));
                    }
                }
            }
        }
    }
    Ok(Handshakes {
        controls,
        classic,
        hybrid,
    })
}

/// The microseconds of CPU of a handshake.
fn cost(
    arena: &Arena,
    running: &Running,
    clients: &Clients,
    what: What,
    count: usize,
) -> Result<f64, String> {
    // Fills the sessions of clients that resume, and warms up the server.
    if what != What::New {
        let warm_up = load::connections(running.answer, clients, TASKS, Until::Count(4 * TASKS));
        arena
            .runtime
            .block_on(warm_up)
            .map_err(|error| error.to_string())?;
    }
    let load = load::connections(running.answer, clients, TASKS, Until::Count(count));
    let (outcome, cpu) = arena.measure(&running.process, load)?;
    let expected = if what == What::Resumed {
        outcome.done()
    } else {
        0
    };
    // A server may decline a few tickets, for example when it has changed its key.
    if outcome.resumed.abs_diff(expected) * 100 > outcome.done() {
        return Err(format!(
            "{} of {} were resumed",
            outcome.resumed,
            outcome.done()
        ));
    }
    Ok(cpu * 1e6 / outcome.done() as f64)
}

/// The clients for each server.
struct Sets {
    full: [Clients; 2],
    /// Used once for each server.
    new: Vec<Arc<ClientConfig>>,
    per_round: usize,
    /// Each server has its own, with sessions of that server only.
    resuming: Vec<[Clients; 2]>,
}

impl Sets {
    fn new(bench: &Bench, arena: &Arena) -> Self {
        const EXCHANGES: [Exchange; 2] = [Exchange::X25519, Exchange::Hybrid];

        let Bench {
            fixture, effort, ..
        } = bench;
        let resuming = |exchange| {
            let clients = (0..TASKS).map(|_| fixture.resuming(exchange));
            Clients::PerTask(clients.collect())
        };
        let new = effort.rounds * effort.handshakes;
        eprintln!("issuing {new} client certificates");
        Self {
            full: EXCHANGES.map(|exchange| Clients::Same(bench.client(exchange))),
            new: fixture.new_clients(Exchange::X25519, new),
            per_round: effort.handshakes,
            resuming: (arena.servers.iter())
                .map(|_| EXCHANGES.map(resuming))
                .collect(),
        }
    }

    fn of(&self, row: usize, round: usize, exchange: Exchange, what: What) -> Clients {
        let index = usize::from(exchange == Exchange::Hybrid);
        match what {
            What::Full => self.full[index].clone(),
            What::New => {
                let first = round * self.per_round;
                Clients::PerConnection(self.new[first..first + self.per_round].to_vec())
            }
            What::Resumed => self.resuming[row][index].clone(),
        }
    }
}
