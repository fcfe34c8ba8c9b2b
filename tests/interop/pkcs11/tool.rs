//! The command line tool with a key in a token.

use std::path::Path;

use serde_json::Value;
use support::example::countersign;
use support::interop::Pki;
use support::programs::{Finished, command, has_curl, run};
use support::running::Server;

use crate::softhsm::{import, module, token, uri, with_softhsm, write};

async fn serve(pki: &Pki, cert: &Path, key: &str) -> Server {
    let mut server = countersign("serve");
    server.args([
        "--listen",
        "127.0.0.1:0",
        "--identity",
        "cn",
        "--allow",
        "alice",
    ]);
    server.arg("--trust").arg(&pki.ca_file);
    server.arg("--cert").arg(cert).args(["--key", key]);
    Server::spawn(server).await
}

async fn call(pki: &Pki, cert: &Path, key: &str, url: &str) -> Finished {
    let mut client = countersign("call");
    client.args(["--identity", "cn", "--allow", "server"]);
    client.arg("--trust").arg(&pki.ca_file);
    client.arg("--cert").arg(cert).args(["--key", key]);
    run(client.arg(url), "").await
}

#[tokio::test]
async fn serve_call_and_inspect_take_a_uri() {
    with_softhsm!(serve_call_and_inspect_take_a_uri);
    if !has_curl() {
        return;
    }
    let pki = Pki::new();
    token("orders");
    let (server, alice) = (pki.server(), pki.ca.leaf().common_name("alice").issue());
    import("orders", &server, "server", "01");
    import("orders", &alice, "alice", "02");
    let (server_cert, alice_cert) = (
        write("server.crt", server.chain_pem()),
        write("alice.crt", alice.chain_pem()),
    );
    let pin = write("pin", "1234\n");
    let key = |label: &str| {
        let module = module();
        let (module, pin) = (module.display(), pin.display());
        format!("pkcs11:token=orders;object={label}?module-path={module}&pin-source={pin}")
    };
    let running = serve(&pki, &server_cert, &key("server")).await;
    let url = running.url();

    let mut curl = command("curl");
    let files = pki.files("alice", &alice);
    curl.args(["-sS", "--noproxy", "*", "--resolve"])
        .arg(format!("localhost:{}:127.0.0.1", running.port))
        .arg("--cacert")
        .arg(&pki.ca_file)
        .arg("--cert")
        .arg(&files.cert)
        .arg("--key")
        .arg(&files.key)
        .arg(&url);
    let answer = run(&mut curl, "").await;
    let answer: Value = serde_json::from_str(&answer.stdout).unwrap();
    assert_eq!(answer["identity"], "alice");

    // `pin-value`, in place of a file.
    let finished = call(&pki, &alice_cert, &uri("token=orders;object=alice"), &url).await;
    assert_eq!(finished.code, Some(0), "{finished:?}");

    let connect = format!("localhost:{}", running.port);
    let inspect = async |key: &str| {
        let mut inspect = countersign("inspect");
        inspect.args(["--connect", &connect, "--json", "--key", key]);
        inspect.arg("--trust").arg(&pki.ca_file);
        run(inspect.arg("--cert").arg(&alice_cert), "").await
    };
    let finished = inspect(&key("alice")).await;
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let finished = inspect(&key("server")).await;
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stdout.contains("does not match"), "{finished:?}");

    let explain = async |key: &str| {
        let mut inspect = countersign("inspect");
        inspect.arg("--trust").arg(&pki.ca_file);
        inspect.args(["--explain", "--key", key]);
        run(inspect.arg(&alice_cert), "").await
    };
    assert_eq!(explain(&key("alice")).await.code, Some(0));
    assert_eq!(explain(&key("server")).await.code, Some(1));

    // Errors have their code, and never the PIN.
    for (key, reason) in [
        (key("none"), "pkcs11_no_key"),
        (uri("token=none"), "pkcs11_no_token"),
        (uri("token=orders;object=server"), "key_mismatch"),
        (uri("token=orders;object=alice;object=alice"), "pkcs11_uri"),
        (
            uri("token=orders;object=alice").replace("1234", "98761234"),
            "pkcs11_wrong_pin",
        ),
    ] {
        let finished = call(&pki, &alice_cert, &key, &url).await;
        assert_eq!(finished.code, Some(1), "{finished:?}");
        assert!(
            finished.stderr.contains(&format!("error[{reason}]")),
            "{finished:?}"
        );
        let said = format!("{}{}", finished.stdout, finished.stderr);
        assert!(
            !said.contains("pin-value=") && !said.contains("98761234"),
            "{said}"
        );
    }
    running.stop().await;
}
