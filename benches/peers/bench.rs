//! What all measurements share: the servers, the CPUs, and the checks before anything is measured.

use std::process::Command;
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use rustls::ClientConfig;
use tokio::runtime::{Builder, Runtime};

use crate::BoxError;
use crate::client::{Visit, visit};
use crate::fixture::{Certificate, Exchange, Fixture};
use crate::grid::{Column, Grid};
use crate::process::{self, Process};
use crate::subjects::{Kind, Programs, Running, Setting};
use crate::transfers::most_connections;

/// The sizes of a run.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    pub rounds: usize,
    /// Rounds of everything but handshakes.
    pub few_rounds: usize,
    /// Handshakes of a round.
    pub handshakes: usize,
    /// The time of a load that is not counted in connections.
    pub time: Duration,
    /// Connections per second of the load at fixed times.
    pub rate: u32,
    pub bulk: usize,
    pub echoes: usize,
    pub idle: usize,
    pub requests: usize,
}

impl Effort {
    pub const FULL: Self = Self {
        rounds: 7,
        few_rounds: 3,
        handshakes: 2000,
        time: Duration::from_secs(2),
        rate: 400,
        bulk: 1 << 30,
        echoes: 10_000,
        idle: 10_000,
        requests: 20_000,
    };
    /// In a minute.
    pub const QUICK: Self = Self {
        rounds: 2,
        few_rounds: 1,
        handshakes: 48,
        time: Duration::from_millis(200),
        rate: 100,
        bulk: 64 << 20,
        echoes: 500,
        idle: 400,
        requests: 1000,
    };
    /// In an unoptimised build.
    pub const TEST: Self = Self {
        rounds: 1,
        few_rounds: 1,
        handshakes: 10,
        time: Duration::from_millis(50),
        rate: 40,
        bulk: 1 << 20,
        echoes: 20,
        idle: 20,
        requests: 50,
    };
}

/// The CPUs of servers and load, as lists of `taskset`.
pub struct Cpus {
    pub server: String,
    pub load: String,
    pub all: String,
}

pub struct Bench {
    pub fixture: Fixture,
    pub programs: Programs,
    pub effort: Effort,
    pub kinds: Vec<Kind>,
    /// Where they are missing, nothing is pinned.
    pub cpus: Option<Cpus>,
}

/// How the CPUs are divided.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Division {
    /// One for the server, and one for the load and the upstream.
    Apart,
    /// All for each.
    Shared,
}

/// The servers of some measurements, with the load's runtime.
pub struct Arena {
    pub runtime: Runtime,
    pub servers: Vec<(Kind, Result<Running, String>)>,
    _upstream: Process,
}

impl Bench {
    /// Starts those of the chosen servers that `wanted` names.
    pub fn arena(
        &self,
        division: Division,
        wanted: impl Fn(Kind) -> bool,
    ) -> Result<Arena, BoxError> {
        let (own, servers) = match (&self.cpus, division) {
            (Some(cpus), Division::Apart) => (Some(&cpus.load), Some(cpus.server.clone())),
            (cpus, _) => (cpus.as_ref().map(|cpus| &cpus.all), None),
        };
        if let Some(list) = own {
            let pid = std::process::id().to_string();
            let mut taskset = Command::new("taskset");
            // This thread, whose affinity those of a runtime that it starts inherit.
            taskset.args(["-c", "-p", list, &pid]);
            taskset.stdout(std::process::Stdio::null());
            if !taskset.status()?.success() {
                return Err("taskset fails".into());
            }
        }
        let workers = match servers {
            Some(_) => 1,
            None => std::thread::available_parallelism().map_or(1, usize::from),
        };
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["serve", "plain"]).arg(self.fixture.folder());
        let log = self.fixture.folder().join("upstream.log");
        let mut upstream = Process::start(command, own.map(String::as_str), log)?;
        let setting = Setting {
            fixture: &self.fixture,
            programs: &self.programs,
            upstream: upstream.address()?,
            cpus: servers,
            workers,
            connections: (self.effort.idle + 2000).min(most_connections()),
        };
        let kinds = self.kinds.iter().copied().filter(|kind| wanted(*kind));
        let servers = kinds.map(|kind| (kind, setting.start(kind)));
        Ok(Arena {
            servers: servers.collect(),
            _upstream: upstream,
            runtime: match division {
                Division::Apart => Builder::new_current_thread().enable_all().build()?,
                Division::Shared => Builder::new_multi_thread().enable_all().build()?,
            },
        })
    }

    pub fn client(&self, exchange: Exchange) -> Arc<ClientConfig> {
        self.fixture.client(exchange, Certificate::Own)
    }
}

impl Arena {
    /// An empty table of all servers. Those that did not start have only the reason.
    pub fn grid(&self, title: &'static str, text: String, columns: Vec<Column>) -> Grid {
        let labels = self.servers.iter().map(|(kind, _)| kind.label());
        let mut grid = Grid::new(title, text, columns, labels);
        for (row, (_, server)) in self.servers.iter().enumerate() {
            if let Err(reason) = server {
                for cell in &mut grid.rows[row].1 {
                    *cell = Err(reason.clone());
                }
            }
        }
        grid
    }

    /// The running servers with their rows, in an order that differs from round to round.
    pub fn in_turn(&self, round: usize) -> impl Iterator<Item = (usize, Kind, &Running)> {
        let count = self.servers.len();
        (0..count).filter_map(move |index| {
            let row = (index + round) % count;
            let (kind, server) = &self.servers[row];
            Some((row, *kind, server.as_ref().ok()?))
        })
    }

    /// Runs a load. Returns what it did, and the CPU time of the server in seconds.
    pub fn measure<T>(
        &self,
        process: &Process,
        load: impl Future<Output = std::io::Result<T>>,
    ) -> Result<(T, f64), String> {
        // What the server has to do after the last byte, such as to write its audit trail.
        const SETTLE: Duration = Duration::from_millis(30);
        sleep(SETTLE);
        let before = process.cpu();
        let done = self.runtime.block_on(load);
        sleep(SETTLE);
        let cpu = process.cpu().since(&before);
        process.truncate_log();
        Ok((done.map_err(|error| error.to_string())?, cpu))
    }

    /// What each server does with good and bad clients. A server that admits a bad one is not measured.
    pub fn controls(&mut self, fixture: &Fixture) -> Vec<Control> {
        let Self {
            runtime, servers, ..
        } = self;
        let mut controls = Vec::new();
        for (kind, server) in servers {
            let Ok(running) = server else { continue };
            match runtime.block_on(Control::of(*kind, running, fixture)) {
                Ok(control) => controls.push(control),
                Err(reason) => *server = Err(reason),
            }
        }
        controls
    }
}

/// What a server does with good and bad clients.
pub struct Control {
    pub kind: Kind,
    pub own: Visit,
    /// Whether it has X25519MLKEM768.
    pub hybrid: Result<(), String>,
    pub resumes: bool,
    /// What a client without a certificate sees.
    pub without: String,
    /// What a client of another authority sees.
    pub foreign: String,
}

impl Control {
    async fn of(kind: Kind, running: &Running, fixture: &Fixture) -> Result<Self, String> {
        let mut rejections = Vec::new();
        let streams = running.stream.as_ref().ok();
        for address in [Some(&running.answer), streams, running.proxy.as_ref()] {
            let Some(&address) = address else { continue };
            let own = fixture.client(Exchange::X25519, Certificate::Own);
            visit(&own, address)
                .await
                .map_err(|error| format!("it rejects the client: {error}"))?;
            for certificate in [Certificate::None, Certificate::Foreign] {
                let client = fixture.client(Exchange::X25519, certificate);
                match visit(&client, address).await {
                    Ok(_) => return Err(format!("it admits a client: {certificate:?}")),
                    Err(error) => rejections.push(error.to_string()),
                }
            }
        }
        let own = fixture.client(Exchange::X25519, Certificate::Own);
        let own = visit(&own, running.answer)
            .await
            .map_err(|error| error.to_string())?;
        let hybrid = fixture.client(Exchange::Hybrid, Certificate::Own);
        let hybrid = visit(&hybrid, running.answer).await;
        let resuming = fixture.resuming(Exchange::X25519);
        let mut resumes = false;
        for _ in 0..3 {
            resumes = visit(&resuming, running.answer)
                .await
                .is_ok_and(|visit| visit.resumed);
        }
        let [without, foreign] = [0, 1].map(|index| rejections[index].clone());
        Ok(Self {
            kind,
            own,
            hybrid: match hybrid {
                Ok(_) => Ok(()),
                Err(error) => Err(format!("no X25519MLKEM768: {error}")),
            },
            resumes,
            without,
            foreign,
        })
    }
}

/// The CPUs that this process may use: the first for servers, the last for the load.
pub fn cpus() -> Option<Cpus> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let list = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?
        .trim();
    let end = |text: &str| text.trim().parse::<usize>().ok();
    let first = end(list.split([',', '-']).next()?)?;
    let last = end(list.rsplit([',', '-']).next()?)?;
    (first != last && process::find("taskset", None).is_some()).then(|| Cpus {
        server: first.to_string(),
        load: last.to_string(),
        all: list.to_owned(),
    })
}
