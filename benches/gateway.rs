//! `countersign gateway` beside no gateway: `cargo bench -p countersign-cli --bench gateway`.
//!
//! Everything runs over loopback, in this process. The bench times a response of one event, from the
//! request to its first frame, over open connections: directly from the upstream server, in the clear
//! and over mutual TLS, and through the gateway, which accepts mutual TLS and forwards in the clear.
//! The first run has no other load. During the second, 500 streams through the gateway receive five
//! events a second each.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use countersign::identity::DnsName;
use countersign::integration::hyper::{Client, Server};
use countersign::testing::TestCa;
use countersign::{Listener, policy};
use countersign_cli::gateway::proxy::{Audit, BoxError, Config, Gateway};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_stream::StreamExt as _;

use support::gateway::write_files;
use support::http::{acceptor, connector};

/// How often a stream gets an event.
const EVERY: Duration = Duration::from_millis(200);
/// The number of streams on a connection.
const PER_CONNECTION: usize = 100;

/// The size of a run.
struct Size {
    streams: usize,
    rounds: usize,
}

fn main() -> ExitCode {
    // As a test, a short run shows that everything works.
    let is_test = !std::env::args().any(|argument| argument == "--bench");
    let size = if is_test {
        Size {
            streams: 20,
            rounds: 5,
        }
    } else {
        Size {
            streams: 500,
            rounds: 5_000,
        }
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    match runtime.block_on(run(&size)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(size: &Size) -> Result<(), BoxError> {
    let ca = TestCa::new("Root");
    let plain = TcpListener::bind("127.0.0.1:0").await?;
    let plain_url = format!("http://{}", plain.local_addr()?);
    tokio::spawn(async move { axum::serve(plain, upstream()).await });
    let acceptor = acceptor(&ca, policy::allow_any()).build()?;
    let listener = Listener::bind(acceptor, "127.0.0.1:0").await?;
    let mtls_port = listener.local_addr().ok_or("no address")?.port();
    tokio::spawn(Server::new().serve(listener, upstream()));
    let port = gateway(&ca, &plain_url).await?;

    let direct: legacy::Client<HttpConnector, Empty<Bytes>> =
        legacy::Client::builder(TokioExecutor::new()).build_http();
    let direct_url = format!("{plain_url}/v1/one");
    let mtls = client(&ca)?;
    let mtls_url = format!("https://localhost:{mtls_port}/v1/one");
    let gatewayed = client(&ca)?;
    let gateway_url = format!("https://localhost:{port}/v1/one");
    let measure = async || -> Result<[Vec<Duration>; 3], BoxError> {
        let mut times = [Vec::new(), Vec::new(), Vec::new()];
        // Alternating, so that load on the machine slows all of them equally.
        for round in 0..size.rounds + 1 {
            let begun = Instant::now();
            let response = direct.request(request(&direct_url)?).await?;
            let first = first_event(response, begun).await?;
            let begun = Instant::now();
            let response = mtls.request(request(&mtls_url)?).await?;
            let second = first_event(response, begun).await?;
            let begun = Instant::now();
            let response = gatewayed.request(request(&gateway_url)?).await?;
            let third = first_event(response, begun).await?;
            // The first round opens the connections.
            if round > 0 {
                for (times, time) in times.iter_mut().zip([first, second, third]) {
                    times.push(time);
                }
            }
        }
        Ok(times)
    };

    println!("| to the first event | p50 | p99 |\n|---|---|---|");
    show("no other load", measure().await?);
    let begun = Instant::now();
    let received = Arc::new(AtomicUsize::new(0));
    let streams = open(&ca, port, size.streams, &received).await?;
    let opened = begun.elapsed();
    show(&format!("with {} streams", size.streams), measure().await?);
    // At least half of the events that were due have arrived.
    let due = begun.elapsed().saturating_sub(opened).as_millis() / EVERY.as_millis();
    let received = received.load(Ordering::SeqCst);
    println!(
        "\n{} streams were opened in {} ms, and received {received} events",
        streams.len(),
        opened.as_millis(),
    );
    if streams.len() < size.streams || received < size.streams * due as usize / 2 {
        return Err("a stream was lost, or events are late".into());
    }
    Ok(())
}

/// Prints the rows of one run, and what the gateway adds.
fn show(load: &str, times: [Vec<Duration>; 3]) {
    let names = [
        "directly, in the clear",
        "directly, over mutual TLS",
        "through the gateway",
    ];
    let percentiles = times.map(|mut times| {
        times.sort_unstable();
        let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_micros();
        [at(50), at(99)]
    });
    for (name, [p50, p99]) in names.iter().zip(percentiles) {
        println!("| {load}: {name} | {p50} µs | {p99} µs |");
    }
    let [_, [direct50, direct99], [p50, p99]] = percentiles.map(|row| row.map(|time| time as i128));
    println!(
        "| {load}: added to mutual TLS | {} µs | {} µs |",
        p50 - direct50,
        p99 - direct99
    );
}

/// Opens streams through the gateway. Each has received its first event when this returns.
async fn open(
    ca: &TestCa,
    port: u16,
    count: usize,
    received: &Arc<AtomicUsize>,
) -> Result<JoinSet<()>, BoxError> {
    let mut opening = JoinSet::new();
    let mut connection = client(ca)?;
    for stream in 0..count {
        if stream % PER_CONNECTION == 0 {
            connection = client(ca)?;
            // This request opens the connection, which the following requests share.
            let url = format!("https://localhost:{port}/v1/one");
            let response = connection.request(request(&url)?).await?;
            response.into_body().collect().await?;
        }
        let client = connection.clone();
        let url = format!("https://localhost:{port}/v1/many");
        opening.spawn(async move {
            let response = client.request(request(&url)?).await?;
            let mut body = response.into_body();
            let first = body.frame().await.ok_or("no event")??;
            Ok::<_, BoxError>((first, body))
        });
    }
    let mut streams = JoinSet::new();
    while let Some(opened) = opening.join_next().await {
        let (_, mut body) = opened??;
        let received = Arc::clone(received);
        streams.spawn(async move {
            while let Some(Ok(_)) = body.frame().await {
                received.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    if streams.try_join_next().is_some() {
        return Err("a stream closed early".into());
    }
    Ok(streams)
}

async fn first_event(response: Response<Incoming>, begun: Instant) -> Result<Duration, BoxError> {
    let mut body = response.into_body();
    let first = body.frame().await.ok_or("no event")??;
    let time = begun.elapsed();
    let is_event = first.data_ref().is_some_and(|data| data == "data: 1\n\n");
    while body.frame().await.transpose()?.is_some() {}
    if is_event {
        Ok(time)
    } else {
        Err("the first frame is not the event".into())
    }
}

/// The upstream server: one event, or an endless stream of events.
fn upstream() -> Router {
    let events = |events: Body| {
        Response::builder()
            .header("content-type", "text/event-stream")
            .body(events)
            .expect("a response")
    };
    let one = async move || {
        let one = tokio_stream::once(Ok::<_, std::io::Error>("data: 1\n\n"));
        events(Body::from_stream(one))
    };
    let many = async move || {
        let many = tokio_stream::iter(0_u64..).then(async |number| {
            if number > 0 {
                tokio::time::sleep(EVERY).await;
            }
            Ok::<_, std::io::Error>(format!("data: {number}\n\n"))
        });
        events(Body::from_stream(many))
    };
    Router::new()
        .route("/v1/one", get(one))
        .route("/v1/many", get(many))
}

/// Starts the gateway in front of this server, and returns its port.
async fn gateway(ca: &TestCa, upstream_url: &str) -> Result<u16, BoxError> {
    let folder = tempfile::tempdir()?;
    let upstreams = format!(
        r#"
        [upstreams.events]
        url = "{upstream_url}"
        [[routes]]
        name = "all"
        who = ["client.example"]
        methods = ["GET"]
        path = "/v1/{{*rest}}"
        upstream = "events"
        "#
    );
    let config = Config::from_file(&write_files(ca, folder.path(), &upstreams)?)?;
    // The line is formatted and discarded.
    let audit = Audit::new(|line| {
        let _ = std::hint::black_box(line.len());
    });
    let gateway = Gateway::bind(&config, audit).await?;
    let port = gateway.address.port();
    tokio::spawn(gateway.serve(std::future::pending()));
    Ok(port)
}

fn client(ca: &TestCa) -> Result<Client<DnsName, Empty<Bytes>>, BoxError> {
    Ok(Client::new(connector(ca, "client.example", "h2").build()?))
}

fn request(url: &str) -> Result<Request<Empty<Bytes>>, BoxError> {
    Ok(Request::get(url).body(Empty::new())?)
}
