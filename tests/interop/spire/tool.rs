//! The command line tool with `--spiffe`.

use serde_json::Value;
use support::example::countersign;
use support::programs::run;
use support::running::Server;

use crate::agent::{Agent, Says};
use crate::messages::X509Response;
use crate::workload::{BILLING, ORDERS, folder};
use countersign::testing::TestCa;

const PATTERN: &str = "spiffe://one.example/*";

async fn serve(agent: &Agent) -> Server {
    let mut server = countersign("serve");
    server.args(["--listen", "127.0.0.1:0", "--spiffe", &agent.address()]);
    server.args(["--identity", "spiffe", "--allow", PATTERN]);
    Server::spawn(server).await
}

#[tokio::test]
async fn serve_and_call() {
    let (folder, ca) = (folder(), TestCa::new("One"));
    let orders = Agent::giving(folder.path().join("a"), X509Response::issue(ORDERS, &ca));
    let billing = Agent::giving(folder.path().join("b"), X509Response::issue(BILLING, &ca));
    let mut server = serve(&orders).await;
    let url = server.url();
    let call = async |agent: &Agent, allow: &str| {
        let mut client = countersign("call");
        client.env("SPIFFE_ENDPOINT_SOCKET", agent.address());
        client.args(["--spiffe", "env", "--identity", "spiffe", "--allow", allow]);
        run(client.arg(&url), "").await
    };
    let finished = call(&billing, ORDERS).await;
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let answer: Value = serde_json::from_str(&finished.stdout).unwrap();
    assert_eq!(answer["identity"], BILLING);

    let finished = call(&billing, BILLING).await;
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stderr.contains("error[denied]"), "{finished:?}");

    // The agent takes the server's identity away.
    orders.deny();
    while server.logged().await["event"]["reason"] != "no_identity_issued" {}
    let finished = call(&billing, ORDERS).await;
    assert_eq!(finished.code, Some(1), "{finished:?}");
    server.stop().await;
}

#[tokio::test]
async fn the_gateway() {
    let (folder, ca) = (folder(), TestCa::new("One"));
    let orders = Agent::giving(folder.path().join("a"), X509Response::issue(ORDERS, &ca));
    let billing = Agent::giving(folder.path().join("b"), X509Response::issue(BILLING, &ca));
    let upstream = serve(&billing).await;
    let config = format!(
        "listen = \"127.0.0.1:0\"\n\
         [tls]\nidentity = \"spiffe\"\nallow = [\"{PATTERN}\"]\n\
         [upstreams.all]\nurl = \"https://localhost:{}\"\n\
         [upstreams.all.tls]\nidentity = \"spiffe\"\nallow = [\"{BILLING}\"]\n\
         [[routes]]\nname = \"all\"\nwho = [\"{PATTERN}\"]\nmethods = [\"GET\"]\npath = \"/\"\n\
         upstream = \"all\"\n",
        upstream.port
    );
    let path = folder.path().join("gateway.toml");
    std::fs::write(&path, &config).unwrap();
    let gateway = |path| {
        let mut gateway = countersign("gateway");
        gateway.arg("--config").arg(path);
        gateway
    };
    let mut command = gateway(&path);
    command.args(["--spiffe", &orders.address()]);
    let server = Server::spawn(command).await;
    let mut client = countersign("call");
    client.args(["--spiffe", &billing.address(), "--identity", "spiffe"]);
    let finished = run(client.args(["--allow", ORDERS, &server.url()]), "").await;
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let answer: Value = serde_json::from_str(&finished.stdout).unwrap();
    assert_eq!(answer["identity"], ORDERS, "the upstream sees the gateway");

    // Neither of the two, and both.
    let finished = run(&mut gateway(&path), "").await;
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(
        finished.stderr.contains("the gateway needs --spiffe"),
        "{finished:?}"
    );
    let both = config.replacen("[tls]\n", "[tls]\ncert = \"a\"\n", 1);
    std::fs::write(&path, both).unwrap();
    let mut command = gateway(&path);
    command.args(["--spiffe", &orders.address()]);
    let finished = run(&mut command, "").await;
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(
        finished.stderr.contains("are those of --spiffe"),
        "{finished:?}"
    );
}

#[tokio::test]
async fn why_it_cannot_start() {
    let folder = folder();
    let command = |arguments: &[&str]| {
        let mut serve = countersign("serve");
        serve.args([
            "--listen",
            "127.0.0.1:0",
            "--identity",
            "spiffe",
            "--allow-any",
        ]);
        serve.args(arguments).env_remove("SPIFFE_ENDPOINT_SOCKET");
        serve
    };
    for (endpoint, reason) in [
        ("env", "error[no_workload_address]"),
        ("localhost:80", "error[bad_workload_address]"),
    ] {
        let finished = run(&mut command(&["--spiffe", endpoint]), "").await;
        assert_eq!(finished.code, Some(1), "{finished:?}");
        assert!(finished.stderr.contains(reason), "{finished:?}");
    }
    let _agent = Agent::start(folder.path().join("a"), Says::Deny);
    for arguments in [
        &["--spiffe", "env", "--cert", "a", "--key", "b"][..],
        &["--spiffe", "env", "--trust", "a"],
    ] {
        let finished = run(&mut command(arguments), "").await;
        assert_eq!(finished.code, Some(2), "{finished:?}");
        assert!(
            finished.stderr.contains("cannot be used with"),
            "{finished:?}"
        );
    }
}
