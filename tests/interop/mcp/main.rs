//! The official Python client of the Model Context Protocol calls the example `mcp`, and calls it through
//! `countersign gateway`. Which tools it may call depends on its certificate.
#![allow(clippy::unwrap_used)] // helpers of tests, too

use std::ffi::OsString;
use std::path::Path;

use serde_json::{Value, json};
use support::example::{countersign, example};
use support::log::{action, message};
use support::programs::{command, python_with, run};
use support::running::Server;
use tempfile::TempDir;

/// Calls each tool, and one by the name of the other.
const CALLS: [&str; 3] = ["read_order", "cancel_order", "read_order:cancel_order"];

fn python() -> Option<OsString> {
    python_with("mcp.client.streamable_http, httpx2")
}

/// The example, and the folder with the agents' certificates.
async fn orders() -> (Server, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mut server = example("mcp");
    server.arg(folder.path());
    (Server::spawn(server).await, folder)
}

/// What the client of this agent gets from the server of this port.
async fn call(python: &OsString, folder: &Path, agent: &str, port: u16) -> Value {
    let mut client = command(python);
    client.args(["-c", include_str!("client.py")]);
    for file in ["ca.crt", &format!("{agent}.crt"), &format!("{agent}.key")] {
        client.arg(folder.join(file));
    }
    client
        .arg(format!("https://localhost:{port}/mcp"))
        .args(CALLS);
    let finished = run(&mut client, "").await;
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let seen = serde_json::from_str(&finished.stdout).unwrap();
    // Shown when the test fails.
    eprintln!("{agent}: {seen:#}");
    seen
}

fn assert_seen(seen: &Value, may_cancel: bool) {
    assert_eq!(seen["version"], "2026-07-28");
    assert_eq!(seen["tools"], json!(["cancel_order", "read_order"]));
    assert_eq!(seen["read_order"], "order 7 is open");
    if may_cancel {
        assert_eq!(seen["cancel_order"], "order 7 is cancelled");
    } else {
        assert_eq!(
            seen["cancel_order"],
            json!({"error": "Server returned an error response"})
        );
    }
    // rmcp compares the header with the body.
    let mismatch = "Mcp-Name header `read_order` does not match body value `cancel_order`";
    let forged = seen["read_order:cancel_order"]["error"].as_str().unwrap();
    assert!(forged.contains(mismatch), "{forged}");
    assert!(seen["legacy"]["error"].is_string(), "{seen}");
}

#[tokio::test]
async fn an_agent_calls_the_tools_of_its_rules() {
    let Some(python) = python() else { return };
    let (mut server, folder) = orders().await;
    for (agent, may_cancel) in [("reader", false), ("operator", true)] {
        let seen = call(&python, folder.path(), agent, server.port).await;
        assert_seen(&seen, may_cancel);

        // The audit trail has the identity, the tool and the rule of each request.
        let id = format!("spiffe://example.org/agents/{agent}");
        let mut events = Vec::new();
        let is_legacy = |event: &Value| message(event).contains("MCP-Protocol-Version is missing");
        while !events.last().is_some_and(is_legacy) {
            events.push(server.logged().await);
        }
        let requests = events
            .iter()
            .filter(|event| event["countersign"]["mcp"].is_object())
            .map(|event| {
                assert_eq!(event["countersign"]["identity"]["value"], *id);
                let mcp = &event["countersign"]["mcp"];
                let rule = event["rule"]["name"].as_str();
                let (method, tool) = (mcp["method"].as_str(), mcp["name"].as_str());
                (action(event), method.unwrap(), tool, rule)
            });
        // After a mismatch, the client lists the tools and tries again.
        let requests: Vec<_> = requests.take(5).collect();
        let allowed = |method, tool, rule| ("request_allowed", method, tool, Some(rule));
        let cancel = if may_cancel {
            allowed("tools/call", Some("cancel_order"), "cancel")
        } else {
            ("request_denied", "tools/call", Some("cancel_order"), None)
        };
        let expected = [
            allowed("server/discover", None, "discover"),
            allowed("tools/list", None, "discover"),
            allowed("tools/call", Some("read_order"), "read"),
            cancel,
            // Its header says so.
            allowed("tools/call", Some("read_order"), "read"),
        ];
        assert_eq!(requests, expected);
        let denied = events
            .iter()
            .find(|event| action(event) == "request_denied");
        if !may_cancel {
            let why = message(denied.unwrap());
            assert!(
                why.contains("rule \"read\": the MCP tool is \"cancel_order\""),
                "{why}"
            );
        }
    }
}

#[tokio::test]
async fn an_agent_calls_the_tools_of_its_routes_through_the_gateway() {
    let Some(python) = python() else { return };
    let (server, folder) = orders().await;
    let config = include_str!("gateway.toml").replace("PORT", &server.port.to_string());
    let path = folder.path().join("gateway.toml");
    std::fs::write(&path, config).unwrap();
    let mut gateway = countersign("gateway");
    gateway.arg("--config").arg(path);
    let mut gateway = Server::spawn(gateway).await;

    for (agent, may_cancel) in [("reader", false), ("operator", true)] {
        let seen = call(&python, folder.path(), agent, gateway.port).await;
        assert_seen(&seen, may_cancel);

        // One line for each request: the identity, the tool and the route, or why none allows it.
        let mut lines = Vec::new();
        let is_legacy = |line: &Value| {
            let reason = line["reason"].as_str();
            reason.is_some_and(|reason| reason.contains("MCP-Protocol-Version is missing"))
        };
        while !lines.last().is_some_and(is_legacy) {
            lines.push(gateway.logged().await);
        }
        let id = format!("spiffe://example.org/agents/{agent}");
        assert!(lines.iter().all(|line| line["identity"] == id), "{lines:?}");
        // After a mismatch, the client lists the tools and tries again.
        let seen: Vec<_> = lines
            .iter()
            .take(5)
            .map(|line| {
                let texts = ["mcp_method", "mcp_name", "route"].map(|field| line[field].as_str());
                (texts, line["status"].as_u64().unwrap())
            })
            .collect();
        let read = |status| {
            (
                [Some("tools/call"), Some("read_order"), Some("read")],
                status,
            )
        };
        let cancel = if may_cancel {
            (
                [Some("tools/call"), Some("cancel_order"), Some("cancel")],
                200,
            )
        } else {
            let why = lines[3]["reason"].as_str().unwrap();
            assert!(
                why.contains("rule \"read\": the MCP tool is \"cancel_order\""),
                "{why}"
            );
            ([Some("tools/call"), Some("cancel_order"), None], 403)
        };
        let expected = [
            ([Some("server/discover"), None, Some("discover")], 200),
            ([Some("tools/list"), None, Some("discover")], 200),
            read(200),
            cancel,
            // rmcp compares the header with the body.
            read(400),
        ];
        assert_eq!(seen, expected);
    }
}
