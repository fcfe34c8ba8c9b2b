//! countersign beside other servers with mutual TLS: `benches/peers/run`.
//!
//! The load is raw rustls in this process. Each server is a process of its own, so that the kernel accounts
//! its CPU time and memory. `benches/RESULTS.md` says what is counted. As a test, a short run with the
//! servers of this repository shows that everything works.

mod bench;
mod chart;
mod client;
mod configurations;
mod fixture;
mod grid;
mod handshakes;
mod load;
mod machine;
mod process;
mod results;
mod serve;
mod subjects;
mod transfers;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

use bench::{Bench, Effort};
use fixture::Fixture;
use results::Results;
use subjects::{Kind, Programs};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Measures countersign beside other servers with mutual TLS.
#[derive(Parser)]
#[command(name = "benches/peers/run")]
struct Options {
    /// Short rounds, which check that everything works; the figures mean nothing
    #[arg(long)]
    quick: bool,
    /// Only these servers, such as raw,listener,nginx
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = kind)]
    only: Vec<Kind>,
    /// Only these measurements
    #[arg(long, value_enum, value_name = "PART", value_delimiter = ',')]
    parts: Vec<Part>,
    /// Clients offer all cipher suites of rustls, and the server chooses; without, TLS_AES_256_GCM_SHA384 only
    #[arg(long)]
    any_suite: bool,
    /// The folder for RESULTS.md and peers.svg
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// The program `countersign` of this repository
    #[arg(long, value_name = "FILE")]
    countersign: Option<PathBuf>,
    /// From cargo
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Handshakes,
    Capacity,
    Streams,
    Idle,
    Requests,
}

fn kind(name: &str) -> Result<Kind, String> {
    let found = Kind::ALL.into_iter().find(|kind| kind.key() == name);
    found.ok_or_else(|| {
        let names = Kind::ALL.map(Kind::key).join(", ");
        format!("the servers are {names}")
    })
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().collect();
    let done = match &*arguments {
        [_, serve, kind, folder] if serve == "serve" => serve::main(kind, Path::new(folder)),
        _ if arguments.iter().any(|argument| argument == "--bench") => run(&Options::parse()),
        _ => test(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), BoxError> {
    let fixture = Fixture::new(options.any_suite)?;
    end_on_signals(fixture.folder().to_owned())?;
    let bench = Bench {
        programs: Programs::new(options.countersign.clone(), fixture.folder(), true),
        fixture,
        effort: if options.quick {
            Effort::QUICK
        } else {
            Effort::FULL
        },
        kinds: match &*options.only {
            [] => Kind::ALL.to_vec(),
            only => Kind::ALL
                .into_iter()
                .filter(|kind| only.contains(kind))
                .collect(),
        },
        cpus: bench::cpus(),
    };
    let machine = machine::describe(&bench.programs, &bench.kinds);
    let results = measure(&bench, &options.parts)?;
    let arguments = std::env::args().skip(1);
    let mut command = String::from("benches/peers/run");
    let shown = ["--quick", "--only", "--parts", "--any-suite"];
    let mut takes_value = false;
    for argument in arguments {
        if takes_value || shown.iter().any(|option| argument.starts_with(option)) {
            command = command + " " + &argument;
            takes_value = matches!(&*argument, "--only" | "--parts");
        }
    }
    let page = results.page(&command, options.quick, bench.cpus.is_some(), &machine);
    std::fs::create_dir_all(&options.out)?;
    std::fs::write(options.out.join("RESULTS.md"), &page)?;
    if let Some(chart) = results.chart() {
        std::fs::write(options.out.join("peers.svg"), chart)?;
    }
    println!("{page}\nwritten to {}", options.out.display());
    Ok(())
}

fn measure(bench: &Bench, parts: &[Part]) -> Result<Results, BoxError> {
    let wants = |part| parts.is_empty() || parts.contains(&part);
    let mut results = Results::default();
    if wants(Part::Handshakes) {
        results.handshakes = Some(handshakes::measure(bench)?);
    }
    if wants(Part::Capacity) {
        results.grids.push(transfers::capacity(bench)?);
    }
    if wants(Part::Streams) {
        results.grids.extend(transfers::streams(bench)?);
    }
    if wants(Part::Requests) {
        results.grids.extend(transfers::requests(bench)?);
    }
    if wants(Part::Idle) {
        results.grids.push(transfers::idle(bench)?);
    }
    Ok(results)
}

/// All parts, with the servers of this program.
fn test() -> Result<(), BoxError> {
    let fixture = Fixture::new(false)?;
    let bench = Bench {
        programs: Programs::new(None, fixture.folder(), false),
        fixture,
        effort: Effort::TEST,
        kinds: vec![
            Kind::Raw,
            Kind::Floor,
            Kind::Acceptor,
            Kind::Listener,
            Kind::Hyper,
            Kind::Axum,
            Kind::RawHyper,
        ],
        cpus: None,
    };
    let results = measure(&bench, &[])?;
    let page = results.page("", true, false, &[]);
    let failed = page.lines().find(|line| line.contains("not measured"));
    if let Some(line) = failed {
        return Err(line.to_owned().into());
    }
    let handshakes = results.handshakes.as_ref().ok_or("no handshakes")?;
    let [all, hybrid] = [&handshakes.classic, &handshakes.hybrid].map(|grid| grid.medians(0).len());
    let controls = &handshakes.controls;
    let is_whole = [all, hybrid, controls.len()] == [bench.kinds.len(); 3]
        && controls.iter().all(|control| control.resumes)
        && results
            .chart()
            .is_some_and(|chart| chart.ends_with("</svg>\n"));
    if !is_whole {
        return Err("a server is missing".into());
    }
    println!("all parts work (run as a test: nothing is measured)");
    Ok(())
}

/// A signal ends the servers too, and removes the folder.
fn end_on_signals(folder: PathBuf) -> Result<(), BoxError> {
    use tokio::signal::unix::{SignalKind, signal};

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let signals = runtime.block_on(async {
        Ok::<_, std::io::Error>([
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        ])
    });
    let [mut interrupt, mut terminate] = signals?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
        process::kill_all();
        let _ = std::fs::remove_dir_all(folder);
        std::process::exit(130);
    });
    Ok(())
}
