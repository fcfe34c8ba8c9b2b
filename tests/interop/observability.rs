//! The dashboard and the alert rules ask for figures that exist, as the server example serves them.
#![cfg(unix)] // the server is stopped by a signal

mod queries;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use countersign::audit::metrics::{ALL, Kind, Metric};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use queries::{Query, alerts, dashboard};
use support::example::countersign;
use support::interop::Pki;
use support::programs;
use support::running::{Server, client, identity_of, with};

/// What Prometheus makes of a figure: its series, and the labels that they have.
fn series(metric: &Metric) -> Vec<(String, BTreeSet<&'static str>)> {
    let mut labels: BTreeSet<&str> = metric.labels.iter().copied().collect();
    if metric.name != "countersign_audit_dropped_total" {
        labels.extend(["side", "name"]);
    }
    match metric.kind {
        Kind::Histogram => ["_bucket", "_sum", "_count"]
            .map(|suffix| {
                let mut labels = labels.clone();
                if suffix == "_bucket" {
                    labels.insert("le");
                }
                (format!("{}{suffix}", metric.name), labels)
            })
            .into(),
        _ => vec![(metric.name.to_owned(), labels)],
    }
}

/// A query names only series that exist, and only labels that they have.
fn problems(query: &Query) -> Vec<String> {
    let known: BTreeMap<_, _> = ALL.iter().flat_map(series).collect();
    let mut found = Vec::new();
    let mut labels = BTreeSet::from(["instance"]); // Prometheus' own
    for name in query.series() {
        match known.get(name) {
            Some(of_series) => labels.extend(of_series),
            None => found.push(format!("{}: there is no {name}", query.title)),
        }
    }
    if query.series().is_empty() {
        found.push(format!("{}: asks for nothing", query.title));
    }
    for label in query.labels() {
        if !labels.contains(label) {
            found.push(format!("{}: no series has the label {label}", query.title));
        }
    }
    found
}

#[test]
fn queries_name_metrics_that_exist() {
    let queries: Vec<Query> = dashboard().into_iter().chain(alerts()).collect();
    assert!(queries.len() > 25, "{}", queries.len());
    let found: Vec<String> = queries.iter().flat_map(problems).collect();
    assert_eq!(found, Vec::<String>::new());
    // And each figure is shown.
    let asked: BTreeSet<&str> = dashboard_series(&queries);
    for metric in ALL {
        let shown = series(metric)
            .iter()
            .any(|(name, _)| asked.contains(&**name));
        assert!(shown, "{} is on no panel", metric.name);
    }
}

fn dashboard_series(queries: &[Query]) -> BTreeSet<&str> {
    queries.iter().flat_map(Query::series).collect()
}

#[test]
fn a_wrong_query_is_found() {
    let of = |expr: &str| {
        let query = Query {
            title: "a panel".into(),
            expr: expr.into(),
        };
        problems(&query)
    };
    assert_eq!(
        of("sum by (reason) (rate(countersign_handshakes_total[5m]))"),
        [""; 0]
    );
    assert_eq!(
        of("rate(countersign_handshake_total[5m])"),
        ["a panel: there is no countersign_handshake_total"]
    );
    assert_eq!(
        of("sum by (result) (countersign_connections{side=\"server\"})"),
        ["a panel: no series has the label result"]
    );
    assert_eq!(
        of("countersign_connections{kind=\"a\"}"),
        ["a panel: no series has the label kind"]
    );
    assert_eq!(of("up"), ["a panel: asks for nothing"]);
}

/// Prometheus' own tool finds that the rules fire when they should, and not otherwise.
#[tokio::test]
async fn the_alerts_fire_when_they_should() {
    if !programs::is_installed("promtool", "--version", programs::in_ci()) {
        return;
    }
    let rules = support::workspace().join("examples/observability/alerts.test.yml");
    let finished = programs::run(
        programs::command("promtool")
            .args(["test", "rules"])
            .arg(rules),
        "",
    )
    .await;
    assert_eq!(finished.code, Some(0), "{finished:?}");
}

/// What the server serves is what is promised, and nothing but that.
#[tokio::test]
async fn the_server_serves_what_is_promised() {
    let pki = Pki::new();
    let files = pki.files("server", &pki.server());
    let crl = pki.write("clients.crl", pki.ca.crl().build());
    let mut arguments: Vec<PathBuf> = ["--identity", "cn", "--allow", "alice"]
        .map(Into::into)
        .into();
    arguments.extend(with("--trust", &pki.ca_file));
    arguments.extend(with("--crl", &crl));
    arguments.extend(["--metrics", "127.0.0.1:0"].map(PathBuf::from));
    let mut server = Server::start(&files, &arguments).await;
    let ready = server.said().await;
    let address = ready.strip_prefix("metrics on http://").expect(&ready);
    let address = address.strip_suffix("/metrics").expect(&ready).to_owned();
    let trust = with("--trust", &pki.ca_file);
    for (name, code) in [("alice", 0), ("alice", 0), ("mallory", 1)] {
        let finished = client(&pki.client(name), &trust, &server.url()).await;
        assert_eq!(finished.code, Some(code), "{name}");
    }

    let (head, text) = get(&address, "/metrics").await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    let known: BTreeMap<_, _> = ALL.iter().flat_map(series).collect();
    let mut seen = BTreeSet::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(described) = line.strip_prefix("# TYPE ") {
            let (name, kind) = described.split_once(' ').unwrap();
            let metric = ALL.iter().find(|metric| metric.name == name);
            let kinds = match metric.expect(name).kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                _ => "histogram",
            };
            assert_eq!(kind, kinds, "{name}");
        } else if !line.starts_with('#') {
            let (name, rest) = line.split_once(['{', ' ']).unwrap();
            let labels = known.get(name).expect(name);
            for label in queries::labels_of(&format!("{{{rest}")) {
                assert!(labels.contains(label), "{name}: {label}");
            }
            seen.insert(name.to_owned());
        }
    }
    let value = |series: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(series));
        line.unwrap_or_else(|| panic!("{series} in {text}"))
            .trim()
            .to_owned()
    };
    let of = "side=\"server\",name=\"\"";
    for (series, expected) in [
        (
            format!("countersign_handshakes_total{{{of},outcome=\"admitted\",reason=\"\"}}"),
            "2",
        ),
        (
            format!("countersign_handshakes_total{{{of},outcome=\"denied\",reason=\"denied\"}}"),
            "1",
        ),
        (format!("countersign_handshakes_in_flight{{{of}}}"), "0"),
        (
            format!("countersign_reloads_total{{{of},outcome=\"success\",reason=\"\"}}"),
            "1",
        ),
        (format!("countersign_generation{{{of}}}"), "2"),
    ] {
        assert_eq!(value(&series), expected, "{series}");
    }
    for gauge in ["own_certificate_not_after", "crl_this_update"] {
        let seconds: f64 = value(&format!("countersign_{gauge}_seconds{{{of}}}"))
            .parse()
            .unwrap();
        assert!(seconds > 1.7e9, "{gauge}: {seconds}");
    }

    let (head, _) = get(&address, "/elsewhere").await;
    assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
    server.stop().await;
}

/// Metrics name clients' reasons: not for the whole network.
#[tokio::test]
async fn metrics_are_for_loopback_only() {
    let pki = Pki::new();
    let files = pki.files("server", &pki.server());
    let mut server = countersign("serve");
    server.args(["--listen", "127.0.0.1:0", "--identity", "cn", "--allow-any"]);
    server
        .args(identity_of(&files))
        .args(with("--trust", &pki.ca_file));
    server.args(["--metrics", "0.0.0.0:0"]);
    let finished = programs::run(&mut server, "").await;
    assert_eq!(finished.code, Some(1));
    assert!(
        finished.stderr.contains("only a loopback address"),
        "{finished:?}"
    );
}

async fn get(address: &str, path: &str) -> (String, String) {
    let mut tcp = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: metrics\r\nConnection: close\r\n\r\n");
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}
