//! Audit events for a collector of OpenTelemetry: OTLP over HTTP, as JSON.
//!
//! It is a writer for `audit::Json`, behind an `audit::Queue`, on whose thread it may block. A batch that was
//! not delivered is kept and sent again with the next one.

use std::io::{self, BufRead as _, BufReader, Read as _, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

/// The limits of records that wait. Beyond it, recording fails, and the queue counts the event as dropped.
const MAX_WAITING: usize = 8192;

const PATIENCE: Duration = Duration::from_secs(5);

/// Sends lines of JSON as log records.
pub struct Otlp {
    collector: SocketAddr,
    resource: Value,
    waiting: Vec<Value>,
}

impl Otlp {
    /// To `http://ADDR/v1/logs`, for the node of this name. For a collector elsewhere, use `countersign egress`,
    /// which adds mutual TLS.
    pub fn new(collector: SocketAddr, node: &str) -> Self {
        let attributes = json!([
            attribute("service.name", "fleet"),
            attribute("service.instance.id", node)
        ]);
        Self {
            collector,
            resource: json!({ "attributes": attributes }),
            waiting: Vec::new(),
        }
    }

    fn send(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let body = json!({ "resourceLogs": [{
            "resource": self.resource,
            "scopeLogs": [{ "scope": { "name": "countersign" }, "logRecords": self.waiting }],
        }] })
        .to_string();
        let mut stream = TcpStream::connect_timeout(&self.collector, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let head = format!(
            "POST /v1/logs HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            self.collector,
            body.len()
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(body.as_bytes())?;
        let mut status = String::new();
        BufReader::new(stream.take(1024)).read_line(&mut status)?;
        if status
            .split(' ')
            .nth(1)
            .is_none_or(|code| !code.starts_with('2'))
        {
            return Err(io::Error::other(format!(
                "the collector answered {status:?}"
            )));
        }
        self.waiting.clear();
        Ok(())
    }
}

impl Write for Otlp {
    /// Whole lines of `audit::Json`.
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        if self.waiting.len() >= MAX_WAITING {
            self.send()?;
        }
        let events = String::from_utf8_lossy(lines);
        self.waiting.extend(events.lines().map(log_record));
        Ok(lines.len())
    }

    /// The queue calls it after its last waiting event. A collector that does not answer is no reason to lose
    /// the events that wait here.
    fn flush(&mut self) -> io::Result<()> {
        if let Err(error) = self.send() {
            eprintln!("the collector: {error}");
        }
        Ok(())
    }
}

fn attribute(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

/// The record of an event.
fn log_record(line: &str) -> Value {
    let event: Value = serde_json::from_str(line).unwrap_or_default();
    let field = |name: &str| event["event"][name].as_str().unwrap_or_default().to_owned();
    let is_failure = field("outcome") == "failure";
    let (number, severity) = if is_failure {
        (13, "WARN")
    } else {
        (9, "INFO")
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.unwrap_or_default().as_nanos().to_string();
    json!({
        "timeUnixNano": now,
        "observedTimeUnixNano": now,
        "severityNumber": number,
        "severityText": severity,
        "body": { "stringValue": line },
        "attributes": [attribute("event.action", &field("action")), attribute("event.outcome", &field("outcome"))],
    })
}
