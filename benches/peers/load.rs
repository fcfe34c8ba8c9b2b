//! The load: many connections, one after the other in each of several tasks, or at fixed times; requests,
//! small messages and bulk data over open connections.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use crate::client::{self, PATIENCE, Stream, within};

const CHUNK: usize = 64 * 1024;
/// The size of a small message.
const MESSAGE: usize = 32;
/// The most connections that are open at fixed times; with more, the server is too slow for the rate.
const MAX_PACED: usize = 2000;

/// The configurations of the clients.
#[derive(Clone)]
pub enum Clients {
    Same(Arc<ClientConfig>),
    /// Each task has its own, with its own sessions.
    PerTask(Vec<Arc<ClientConfig>>),
    /// Each connection has its own certificate.
    PerConnection(Vec<Arc<ClientConfig>>),
}

impl Clients {
    fn of(&self, task: usize, connection: usize) -> &Arc<ClientConfig> {
        match self {
            Self::Same(client) => client,
            Self::PerTask(clients) => &clients[task % clients.len()],
            Self::PerConnection(clients) => &clients[connection % clients.len()],
        }
    }
}

/// When a load ends.
#[derive(Clone, Copy)]
pub enum Until {
    Count(usize),
    Time(Duration),
}

/// What a load did.
#[derive(Default)]
pub struct Outcome {
    pub times: Vec<Duration>,
    pub resumed: usize,
    pub wall: Duration,
}

impl Outcome {
    pub fn done(&self) -> usize {
        self.times.len()
    }

    /// Operations in a second.
    pub fn rate(&self) -> f64 {
        self.done() as f64 / self.wall.as_secs_f64()
    }

    /// The time, in seconds, within which so many percent were done.
    pub fn percentile(&mut self, percent: usize) -> f64 {
        self.times.sort_unstable();
        let last = self.times.len().saturating_sub(1);
        let time = self.times.get(last * percent / 100);
        time.copied().unwrap_or_default().as_secs_f64()
    }
}

/// Connections with one request each, `tasks` at a time. Any failure ends the load.
pub async fn connections(
    server: SocketAddr,
    clients: &Clients,
    tasks: usize,
    until: Until,
) -> io::Result<Outcome> {
    let begun = Instant::now();
    let next = Arc::new(AtomicUsize::new(0));
    let mut running = JoinSet::new();
    for task in 0..tasks {
        let (next, clients) = (Arc::clone(&next), clients.clone());
        running.spawn(async move {
            let mut outcome = Outcome::default();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let is_over = match until {
                    Until::Count(count) => number >= count,
                    Until::Time(time) => begun.elapsed() >= time,
                };
                if is_over {
                    return Ok(outcome);
                }
                let start = Instant::now();
                let visit = client::visit(clients.of(task, number), server).await?;
                outcome.times.push(start.elapsed());
                outcome.resumed += usize::from(visit.resumed);
            }
        });
    }
    joined(running, begun).await
}

/// Connections that begin at fixed times. Each time is measured from when its connection was due.
pub async fn paced(
    server: SocketAddr,
    clients: &Clients,
    per_second: u32,
    time: Duration,
) -> io::Result<Outcome> {
    let begun = Instant::now();
    let mut running = JoinSet::new();
    for number in 0..(f64::from(per_second) * time.as_secs_f64()) as u32 {
        let due = begun + Duration::from_secs(1) * number / per_second;
        sleep_until(due.into()).await;
        if running.len() > MAX_PACED {
            return Err(io::Error::other("too slow for this rate"));
        }
        let client = Arc::clone(clients.of(0, number as usize));
        running.spawn(async move {
            let visit = client::visit(&client, server).await?;
            Ok(Outcome {
                times: vec![due.elapsed()],
                resumed: usize::from(visit.resumed),
                wall: Duration::ZERO,
            })
        });
    }
    joined(running, begun).await
}

/// Requests over these connections.
pub async fn requests(open: &mut Vec<Stream>, count: usize) -> io::Result<Outcome> {
    let begun = Instant::now();
    let next = Arc::new(AtomicUsize::new(0));
    let mut running = JoinSet::new();
    for mut stream in open.drain(..) {
        let next = Arc::clone(&next);
        running.spawn(async move {
            let mut outcome = Outcome::default();
            let mut response = Vec::with_capacity(1024);
            while next.fetch_add(1, Ordering::Relaxed) < count {
                let start = Instant::now();
                ok(within(client::get(&mut stream, &mut response)).await?)?;
                outcome.times.push(start.elapsed());
            }
            Ok(outcome)
        });
    }
    joined(running, begun).await
}

/// A connection that has had one response.
pub async fn idle(server: SocketAddr, client: &Arc<ClientConfig>) -> io::Result<Stream> {
    let opening = async {
        let mut stream = client::connect(client, server).await?;
        ok(client::get(&mut stream, &mut Vec::new()).await?)?;
        Ok(stream)
    };
    within(opening).await
}

fn ok(status: u16) -> io::Result<()> {
    match status {
        200 => Ok(()),
        _ => Err(io::Error::other(format!("HTTP status {status}"))),
    }
}

/// Small messages over one connection, each after the echo of the one before.
pub async fn echoes(
    server: SocketAddr,
    client: &Arc<ClientConfig>,
    count: usize,
) -> io::Result<Outcome> {
    let mut stream = within(command(server, client, "PING\n")).await?;
    let mut outcome = Outcome::default();
    let mut echo = [0; MESSAGE];
    let begun = Instant::now();
    for _ in 0..count {
        let start = Instant::now();
        let echoing = async {
            send(&mut stream, &[7; MESSAGE]).await?;
            stream.read_exact(&mut echo).await
        };
        within(echoing).await?;
        outcome.times.push(start.elapsed());
    }
    outcome.wall = begun.elapsed();
    Ok(outcome)
}

/// The direction of bulk data.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    ToServer,
    FromServer,
}

/// So many bytes in one direction over one connection; the time begins after the handshake.
pub async fn bulk(
    server: SocketAddr,
    client: &Arc<ClientConfig>,
    direction: Direction,
    size: usize,
) -> io::Result<Duration> {
    let line = match direction {
        Direction::ToServer => format!("SINK {size}\n"),
        Direction::FromServer => format!("SEND {size}\n"),
    };
    let mut stream = within(command(server, client, &line)).await?;
    let mut chunk = vec![0; CHUNK];
    let begun = Instant::now();
    let mut left = size;
    while left > 0 {
        let part = left.min(CHUNK);
        left -= match direction {
            Direction::ToServer => {
                within(stream.write_all(&chunk[..part])).await?;
                part
            }
            Direction::FromServer => match within(stream.read(&mut chunk[..part])).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => count,
            },
        };
    }
    if direction == Direction::ToServer {
        // The server has read everything.
        within(stream.flush()).await?;
        within(stream.read_u8()).await?;
    }
    Ok(begun.elapsed())
}

/// A connection on which the server has begun with a command of `serve.rs`.
async fn command(server: SocketAddr, client: &Arc<ClientConfig>, line: &str) -> io::Result<Stream> {
    let mut stream = client::connect(client, server).await?;
    send(&mut stream, line.as_bytes()).await?;
    stream.read_u8().await?;
    Ok(stream)
}

async fn send(stream: &mut Stream, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

/// All outcomes in one. The first failure ends the other tasks.
async fn joined(mut running: JoinSet<io::Result<Outcome>>, begun: Instant) -> io::Result<Outcome> {
    let mut all = Outcome::default();
    while let Some(outcome) = running.join_next().await {
        let outcome = outcome.map_err(io::Error::other)??;
        all.times.extend(outcome.times);
        all.resumed += outcome.resumed;
    }
    all.wall = begun.elapsed();
    if all.times.is_empty() {
        return Err(io::Error::other(format!(
            "nothing was done in {PATIENCE:?}"
        )));
    }
    Ok(all)
}
