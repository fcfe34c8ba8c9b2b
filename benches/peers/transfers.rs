//! Connections per second, bulk data, small messages, idle connections, and requests.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use rustls::ClientConfig;
use tokio::task::JoinSet;

use crate::BoxError;
use crate::bench::{Arena, Bench, Division};
use crate::client::Stream;
use crate::fixture::Exchange;
use crate::grid::{Column, Grid};
use crate::handshakes::NO_HYBRID;
use crate::load::{self, Clients, Direction, Until};
use crate::subjects::{Kind, Running};

/// Connections at a time in the load that is as fast as possible.
const MANY: usize = 32;
/// Open connections over which requests are sent.
const KEPT: usize = 16;
/// Connections that are opened at a time before they are idle.
const OPENING: usize = 16;

/// Connections per second with all CPUs, and the time of connections under load.
pub fn capacity(bench: &Bench) -> Result<Grid, BoxError> {
    let effort = bench.effort;
    let mut arena = bench.arena(Division::Shared, Kind::is_server)?;
    let controls = arena.controls(&bench.fixture);
    let mut grid = arena.grid(
        "Connections per second",
        format!(
            "Full handshakes of a known client. The server may use all CPUs, with as many workers; the load \
             runs on the same CPUs, and takes a large part of them, so the figures compare servers and are not \
             what a server alone would reach. First, {MANY} connections at a time, as many as possible for \
             {:.1} s, and the time of a connection from connecting to its end; then connections that begin at \
             fixed times, {} in a second, with times from when each was due. Median (least–most) of {} rounds.",
            effort.time.as_secs_f64(),
            effort.rate,
            effort.few_rounds,
        ),
        vec![
            Column::new("X25519: per second", 0).compared(),
            Column::new("p50, ms", 1),
            Column::new("p99, ms", 1),
            Column::new("at the fixed rate: p50, ms", 2),
            Column::new("p99, ms", 2),
            Column::new("X25519MLKEM768: per second", 0).compared(),
        ],
    );
    for control in &controls {
        if control.hybrid.is_err() {
            let row = arena
                .servers
                .iter()
                .position(|(kind, _)| *kind == control.kind);
            grid.add::<1>(row.unwrap_or_default(), 5, Err(NO_HYBRID.to_owned()));
        }
    }
    let classic = Clients::Same(bench.client(Exchange::X25519));
    let hybrid = Clients::Same(bench.client(Exchange::Hybrid));
    for round in 0..effort.few_rounds {
        eprintln!("connections per second, round {}", round + 1);
        for (row, _, running) in arena.in_turn(round) {
            let run = |clients, until| {
                let load = load::connections(running.answer, clients, MANY, until);
                arena.measure(&running.process, load)
            };
            let fast = |clients| {
                run(clients, Until::Count(2 * MANY))?;
                let (outcome, _) = run(clients, Until::Time(effort.time))?;
                Ok::<_, String>(outcome)
            };
            let measured = fast(&classic).map(|mut outcome| {
                let [p50, p99] = [50, 99].map(|percent| outcome.percentile(percent) * 1e3);
                [outcome.rate(), p50, p99]
            });
            grid.add(row, 0, measured);
            let paced = load::paced(running.answer, &classic, effort.rate, effort.time);
            let paced = arena.measure(&running.process, paced);
            let times = paced
                .map(|(mut outcome, _)| [50, 99].map(|percent| outcome.percentile(percent) * 1e3));
            grid.add(row, 3, times);
            if grid.is_good(row, 5) {
                grid.add(row, 5, fast(&hybrid).map(|outcome| [outcome.rate()]));
            }
        }
    }
    Ok(grid)
}

/// Bulk data in both directions, and small messages.
pub fn streams(bench: &Bench) -> Result<[Grid; 2], BoxError> {
    let effort = bench.effort;
    let mut arena = bench.arena(Division::Apart, Kind::has_streams)?;
    arena.servers.retain(|(kind, _)| *kind != Kind::Gateway);
    arena.controls(&bench.fixture);
    let mut bulk = arena.grid(
        "Bulk data",
        format!(
            "{} MiB over one connection. The server has one CPU; the load has another, which it shares with the \
             upstream. Envoy, nginx, HAProxy and stunnel pass the bytes to and from a server without TLS, as \
             they are used: that is one more copy, which the others do not make. The upstream's CPU is not \
             counted. Median (least–most) of {} rounds · **ratio to the first row**.",
            effort.bulk >> 20,
            effort.few_rounds,
        ),
        vec![
            Column::new("to the server: MB/s", 0),
            Column::new("CPU s/GiB", 3).compared(),
            Column::new("from the server: MB/s", 0),
            Column::new("CPU s/GiB", 3).compared(),
        ],
    );
    let mut small = arena.grid(
        "Small messages",
        format!(
            "Echoes of 32 bytes over one connection, each after the one before, {} in each of {} rounds; \
             through the upstream as above.",
            effort.echoes, effort.few_rounds,
        ),
        vec![
            Column::new("round trips/s", 0).compared(),
            Column::new("p50, µs", 1),
            Column::new("p99, µs", 1),
            Column::new("CPU, µs per round trip", 1).compared(),
        ],
    );
    let client = bench.client(Exchange::X25519);
    for round in 0..effort.few_rounds {
        eprintln!("bulk data and small messages, round {}", round + 1);
        for (row, _, running) in arena.in_turn(round) {
            let address = match &running.stream {
                Ok(address) => *address,
                Err(reason) => {
                    bulk.add::<4>(row, 0, Err(reason.clone()));
                    small.add::<4>(row, 0, Err(reason.clone()));
                    continue;
                }
            };
            for (column, direction) in [(0, Direction::ToServer), (2, Direction::FromServer)] {
                let load = load::bulk(address, &client, direction, effort.bulk);
                let measured = arena.measure(&running.process, load);
                let size = effort.bulk as f64;
                let gib = size / f64::from(1 << 30);
                let figures =
                    measured.map(|(time, cpu)| [size / 1e6 / time.as_secs_f64(), cpu / gib]);
                bulk.add(row, column, figures);
            }
            let load = load::echoes(address, &client, effort.echoes);
            let measured = arena.measure(&running.process, load);
            let figures = measured.map(|(mut outcome, cpu)| {
                let [p50, p99] = [50, 99].map(|percent| outcome.percentile(percent) * 1e6);
                [outcome.rate(), p50, p99, cpu * 1e6 / outcome.done() as f64]
            });
            small.add(row, 0, figures);
        }
    }
    Ok([bulk, small])
}

/// The memory of idle connections.
pub fn idle(bench: &Bench) -> Result<Grid, BoxError> {
    let count = |kind| bench.effort.idle.min(most_idle(kind));
    let mut arena = bench.arena(Division::Shared, Kind::is_server)?;
    arena.controls(&bench.fixture);
    let [most, fewer] = [Kind::Raw, Kind::Stunnel].map(count);
    let fewer = match fewer < most {
        true => format!(" (HAProxy and stunnel {fewer}, because of `ulimit -n`)"),
        false => String::new(),
    };
    let mut grid = arena.grid(
        "Memory of an idle connection",
        format!(
            "{most} open connections{fewer}, each after one request: how much the resident memory of all processes \
             of the server has grown, for each connection. The server was warmed up with {} connections before, \
             so that caches of sessions are full. What the kernel takes for sockets is not counted, nor the \
             upstream behind stunnel. One measurement each.",
            warm_up(most),
        ),
        vec![Column::new("bytes", 0).compared()],
    );
    let client = bench.client(Exchange::X25519);
    let clients = Clients::Same(Arc::clone(&client));
    for (row, kind, running) in arena.in_turn(0) {
        eprintln!("idle connections: {}", kind.key());
        let count = count(kind);
        let measured = (|| {
            let warm_up = load::connections(
                running.answer,
                &clients,
                OPENING,
                Until::Count(warm_up(count)),
            );
            arena.runtime.block_on(warm_up)?;
            sleep(SETTLE);
            let before = running.process.memory();
            let opening = open(running.answer, &client, count);
            let connections = arena.runtime.block_on(opening)?;
            sleep(SETTLE);
            let grown = running.process.memory().saturating_sub(before);
            Ok::<_, io::Error>([grown as f64 / connections.len() as f64])
        })();
        grid.add(row, 0, measured.map_err(|error| error.to_string()));
    }
    Ok(grid)
}

const SETTLE: Duration = Duration::from_millis(500);

/// More than there are sessions in the caches of rustls and countersign.
const fn warm_up(count: usize) -> usize {
    if count > 6000 { 5000 } else { count / 4 }
}

async fn open(
    server: SocketAddr,
    client: &Arc<ClientConfig>,
    count: usize,
) -> io::Result<Vec<Stream>> {
    let mut opening = JoinSet::new();
    for task in 0..OPENING {
        let client = Arc::clone(client);
        opening.spawn(async move {
            let mut open = Vec::new();
            for _ in 0..count / OPENING + usize::from(task < count % OPENING) {
                open.push(load::idle(server, &client).await?);
            }
            Ok::<_, io::Error>(open)
        });
    }
    let mut open = Vec::new();
    while let Some(opened) = opening.join_next().await {
        open.extend(opened.map_err(io::Error::other)??);
    }
    Ok(open)
}

/// How many connections a server and its upstream may have, by this process' limit of open files.
pub fn most_connections() -> usize {
    most_files() / 2
}

/// How many idle connections a server may have.
fn most_idle(kind: Kind) -> usize {
    match kind {
        // Two files for each.
        Kind::Haproxy | Kind::Stunnel => most_connections(),
        _ => most_files(),
    }
}

fn most_files() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let files = line.and_then(|line| line.split_whitespace().nth(3)?.parse::<usize>().ok());
    files.map_or(usize::MAX, |files| files.saturating_sub(1000))
}

/// CPU per request over open connections: servers that answer, and reverse proxies.
pub fn requests(bench: &Bench) -> Result<[Grid; 2], BoxError> {
    let effort = bench.effort;
    let mut arena = bench.arena(Division::Apart, |kind| kind.has_http() || kind.is_proxy())?;
    arena.controls(&bench.fixture);
    // The first row is what the others are compared with.
    arena
        .servers
        .sort_by_key(|(kind, _)| *kind != Kind::RawHyper);
    let columns = || {
        vec![
            Column::new("CPU, µs per request", 1).compared(),
            Column::new("requests/s", 0),
        ]
    };
    let mut answering = arena.grid(
        "Requests",
        format!(
            "HTTP/1.1 over {KEPT} mutual TLS connections that stay open, {} requests in each of {} rounds. The \
             server has one CPU, and answers a few bytes without an upstream and without an access log. \
             `countersign serve` answers with the client's identity, as JSON.",
            effort.requests, effort.few_rounds,
        ),
        columns(),
    );
    let mut proxies = arena.grid(
        "Reverse proxies",
        "The same load, forwarded to a server without TLS over connections that stay open. Each writes one \
         access line per request to a file, and adds a header with the client's name. `countersign gateway` \
         also authorizes each request by identity, method and path. The upstream's CPU is not counted."
            .to_owned(),
        columns(),
    );
    let client = bench.client(Exchange::X25519);
    for round in 0..effort.few_rounds {
        eprintln!("requests, round {}", round + 1);
        for (row, kind, running) in arena.in_turn(round) {
            let answer = kind.has_http().then_some(running.answer);
            for (address, grid) in [(answer, &mut answering), (running.proxy, &mut proxies)] {
                if let Some(address) = address
                    && grid.is_good(row, 0)
                {
                    let cost = request_cost(&arena, running, address, &client, effort.requests);
                    grid.add(row, 0, cost);
                }
            }
        }
    }
    keep(&mut answering, &arena, Kind::has_http);
    keep(&mut proxies, &arena, Kind::is_proxy);
    // The gateway first.
    proxies.rows.reverse();
    Ok([answering, proxies])
}

fn request_cost(
    arena: &Arena,
    running: &Running,
    address: SocketAddr,
    client: &Arc<ClientConfig>,
    count: usize,
) -> Result<[f64; 2], String> {
    let warmed_up = async {
        load::requests(&mut open(address, client, KEPT).await?, KEPT * 4).await?;
        open(address, client, KEPT).await
    };
    let opened = arena.runtime.block_on(warmed_up);
    let mut open = opened.map_err(|error| error.to_string())?;
    let (outcome, cpu) = arena.measure(&running.process, load::requests(&mut open, count))?;
    Ok([cpu * 1e6 / outcome.done() as f64, outcome.rate()])
}

/// Drops the rows of servers that a table is not about.
fn keep(grid: &mut Grid, arena: &Arena, wanted: impl Fn(Kind) -> bool) {
    let mut kinds = arena.servers.iter().map(|(kind, _)| wanted(*kind));
    grid.rows.retain(|_| kinds.next().unwrap_or(false));
}
