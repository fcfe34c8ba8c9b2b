//! A server of the Model Context Protocol (rmcp) over mutual TLS, with rules by tool: each agent may call
//! the tools of its rules, and no others.
//!
//! ```text
//! cargo run -p countersign-frameworks --bin mcp            # shows the rules
//! cargo run -p countersign-frameworks --bin mcp -- FOLDER  # writes the agents' certificates, and serves
//! ```

use std::borrow::Cow;
use std::error::Error;
use std::path::Path;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use countersign::audit::{AuditSink, Json, Memory};
use countersign::gate::ServerNameVerification;
use countersign::identity::SpiffeId;
use countersign::integration::hyper::{Client, Server};
use countersign::integration::tower::{
    AuthorizeRequest, AuthorizedRequests, Conditions, RequestRules,
};
use countersign::testing::TestCa;
use countersign::{Acceptor, Connector, Listener, policy};
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::ProtocolVersion;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ServerHandler, schemars, tool, tool_handler, tool_router};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tower::Layer as _;

const SERVER: &str = "spiffe://example.org/orders";
const READER: &str = "spiffe://example.org/agents/reader";
const OPERATOR: &str = "spiffe://example.org/agents/operator";
const GATEWAY: &str = "spiffe://example.org/gateway";

struct Orders;

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Order {
    id: u32,
}

#[tool_router]
impl Orders {
    #[tool(description = "Reads an order")]
    fn read_order(&self, Parameters(Order { id }): Parameters<Order>) -> String {
        format!("order {id} is open")
    }

    #[tool(description = "Cancels an order")]
    fn cancel_order(&self, Parameters(Order { id }): Parameters<Order>) -> String {
        format!("order {id} is cancelled")
    }
}

#[tool_handler]
impl ServerHandler for Orders {
    /// The rules read the headers, and the body decides: rmcp compares them since this version.
    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        Cow::Borrowed(&[ProtocolVersion::V_2026_07_28])
    }
}

fn rules() -> Result<RequestRules<SpiffeId>, Box<dyn Error>> {
    let agents = || policy::spiffe_patterns(["spiffe://example.org/agents/*"]);
    let exactly = |id: &str| Ok::<_, Box<dyn Error>>(policy::exact([id.parse::<SpiffeId>()?]));
    let methods = |names: &[&str]| Conditions::new().mcp_methods(names.iter().copied());
    let tool = |name| Conditions::new().mcp_tools([name]);
    let discovery = methods(&["server/discover", "tools/list"]);
    // A gateway has rules of its own: it may call whatever it lets through.
    let all = methods(&["server/discover", "tools/list", "tools/call"]);
    let post = || [Method::POST];
    Ok(RequestRules::new()
        .allow_if("discover", agents()?, post(), "/mcp", discovery)?
        .allow_if("read", agents()?, post(), "/mcp", tool("read_order"))?
        .allow_if(
            "cancel",
            exactly(OPERATOR)?,
            post(),
            "/mcp",
            tool("cancel_order"),
        )?
        .allow_if("gateway", exactly(GATEWAY)?, post(), "/mcp", all)?)
}

/// The listener, and the service behind the rules. Every request makes an event with its tool and rule.
async fn listen(
    ca: &TestCa,
    audit: impl AuditSink + 'static,
) -> Result<
    (
        Listener<TcpStream, SpiffeId>,
        AuthorizedRequests<Router, SpiffeId>,
    ),
    Box<dyn Error>,
> {
    let acceptor = Acceptor::builder()
        .credentials(
            ca.leaf()
                .spiffe(SERVER)
                .dns("localhost")
                .issue()
                .credentials(),
        )
        .trust(ca.trust())
        .identify(SpiffeId::extractor())
        .authorize(policy::trust_domain("example.org".parse()?))
        .alpn(["h2", "http/1.1"])
        .audit(audit)
        .build()?;
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true);
    let service = StreamableHttpService::<_, LocalSessionManager>::new(
        || Ok(Orders),
        LocalSessionManager::default().into(),
        config,
    );
    let app = AuthorizeRequest::new(rules()?)
        .audit(&acceptor)
        .audit_allowed()
        .layer(Router::new().route_service("/mcp", service));
    Ok((Listener::bind(acceptor, "127.0.0.1:0").await?, app))
}

/// Writes certificates into the folder, and serves. Standard error gets the events.
async fn serve(folder: &Path) -> Result<(), Box<dyn Error>> {
    let ca = TestCa::new("Example CA");
    std::fs::write(folder.join("ca.crt"), ca.pem())?;
    for (name, id) in [
        ("reader", READER),
        ("operator", OPERATOR),
        ("gateway", GATEWAY),
    ] {
        let issued = ca.leaf().spiffe(id).dns("localhost").issue();
        std::fs::write(folder.join(format!("{name}.crt")), issued.chain_pem())?;
        std::fs::write(folder.join(format!("{name}.key")), issued.key_pem())?;
    }
    let (listener, app) = listen(&ca, Json::new(std::io::stderr())).await?;
    println!(
        "listening on {}",
        listener.local_addr().ok_or("no address")?
    );
    Server::new().serve(listener, app).await;
    Ok(())
}

/// A call of a tool. `named` is the tool of the headers, `called` that of the body.
fn call(
    url: &str,
    version: &str,
    named: &str,
    called: &str,
) -> Result<Request<Full<Bytes>>, http::Error> {
    let prefix = "io.modelcontextprotocol";
    let body = json!({
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {
            "name": called,
            "arguments": {"id": 7},
            "_meta": {
                format!("{prefix}/protocolVersion"): version,
                format!("{prefix}/clientInfo"): {"name": "example", "version": "1"},
                format!("{prefix}/clientCapabilities"): {},
            },
        },
    });
    Request::post(url)
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", version)
        .header("mcp-method", "tools/call")
        .header("mcp-name", named)
        .body(Full::new(Bytes::from(body.to_string())))
}

fn client(ca: &TestCa, id: &str) -> Result<Client<SpiffeId, Full<Bytes>>, Box<dyn Error>> {
    let connector = Connector::builder()
        .credentials(ca.leaf().spiffe(id).issue().credentials())
        .trust(ca.trust())
        .identify(SpiffeId::extractor())
        .authorize(policy::exact([SERVER.parse()?]))
        .server_names(ServerNameVerification::ByPolicy)
        .alpn(["h2", "http/1.1"])
        .build()?;
    Ok(Client::new(connector))
}

async fn demo() -> Result<(), Box<dyn Error>> {
    let ca = TestCa::new("Example CA");
    let trail = Memory::new();
    let (listener, app) = listen(&ca, trail.clone()).await?;
    let url = format!("https://{}/mcp", listener.local_addr().ok_or("no address")?);
    let handle = listener.handle();
    let serving = tokio::spawn(Server::new().serve(listener, app));

    let (reader, operator) = (client(&ca, READER)?, client(&ca, OPERATOR)?);
    let version = "2026-07-28";
    for (what, client, version, named, called) in [
        (
            "reader calls read_order",
            &reader,
            version,
            "read_order",
            "read_order",
        ),
        (
            "reader calls cancel_order",
            &reader,
            version,
            "cancel_order",
            "cancel_order",
        ),
        (
            "operator calls cancel_order",
            &operator,
            version,
            "cancel_order",
            "cancel_order",
        ),
        (
            "reader calls cancel_order as read_order",
            &reader,
            version,
            "read_order",
            "cancel_order",
        ),
        (
            "reader calls by an earlier version",
            &reader,
            "2025-11-25",
            "read_order",
            "cancel_order",
        ),
    ] {
        println!("{what}");
        let response = client.request(call(&url, version, named, called)?).await?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await?.to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let text = &body["result"]["content"][0]["text"];
        let text = text.as_str().or_else(|| body["error"]["message"].as_str());
        println!("    {status} {}", text.unwrap_or("(no body)"));
        for event in trail.take() {
            let Some(request) = &event.request else {
                continue;
            };
            println!(
                "    event: {} {} {}",
                event.action.as_str(),
                request.mcp_name.as_deref().unwrap_or("-"),
                event
                    .rule
                    .as_deref()
                    .or(event.detail.as_deref())
                    .unwrap_or("-"),
            );
        }
    }
    handle.shutdown(Duration::from_secs(5)).await;
    serving.await?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    match std::env::args_os().nth(1) {
        Some(folder) => serve(folder.as_ref()).await,
        None => demo().await,
    }
}
