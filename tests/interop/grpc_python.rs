//! Python's grpcio, which is gRPC's own C++ core, against the example.

use std::ffi::OsString;

use serde_json::Value;

use super::grpc_examples::serve;
use support::interop::{Files, Pki};
use support::programs::{command, in_ci, is_there, run};

/// Python with grpcio: that of `GRPC_PYTHON`, or `python3`.
pub(crate) fn python() -> Option<OsString> {
    let python = std::env::var_os("GRPC_PYTHON").unwrap_or_else(|| "python3".into());
    let found = std::process::Command::new(&python)
        .args(["-c", "import grpc"])
        .output()
        .is_ok_and(|output| output.status.success());
    is_there(
        found,
        "Python's grpcio (GRPC_PYTHON names a Python that has it)",
        in_ci(),
    )
    .then_some(python)
}

/// Calls by generic methods, with messages as bytes, and prints the results as JSON.
const CLIENT: &str = r#"
import grpc, json, sys

port, ca, cert, key = sys.argv[1:5]
read = lambda path: open(path, "rb").read()
own = (read(key), read(cert)) if key else (None, None)
credentials = grpc.ssl_channel_credentials(read(ca), *own)
plain = lambda message: message
seen = {}
with grpc.secure_channel("localhost:" + port, credentials) as channel:
    create = channel.unary_unary("/invoices.v1.Invoices/Create", plain, plain)
    watch = channel.unary_stream("/invoices.v1.Invoices/Watch", plain, plain)
    unknown = channel.unary_unary("/invoices.v1.Invoices/Delete", plain, plain)
    for name, call in {
        "create": lambda: create(b"\x0a\x04ACME", timeout=30),
        "watch": lambda: b"|".join(watch(b"\x08\x02\x10\x01", timeout=30)),
        "unknown": lambda: unknown(b"", timeout=30),
    }.items():
        try:
            seen[name] = call().decode()
        except grpc.RpcError as error:
            seen[name] = [error.code().name, error.details()]
print(json.dumps(seen))
"#;

async fn call(python: &OsString, pki: &Pki, port: u16, own: Option<&Files>) -> Value {
    let mut client = command(python);
    client
        .args(["-c", CLIENT, &port.to_string()])
        .arg(&pki.ca_file);
    match own {
        Some(own) => client.args([&own.cert, &own.key]),
        None => client.args(["", ""]),
    };
    let finished = run(&mut client, "").await;
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let seen = serde_json::from_str(&finished.stdout).unwrap();
    // Shown when the test fails.
    eprintln!("{seen}");
    seen
}

#[tokio::test]
async fn grpcio_sees_who_may_do_what() {
    let Some(python) = python() else { return };
    let pki = Pki::new();
    let mut server = serve(&pki).await;

    // Fields of protobuf: 1 is the number, 2 the customer, 3 who made it.
    let watched = |who: &str| {
        let length = char::from(u8::try_from(who.len()).unwrap());
        format!("\x08\x01\x12\x07watched\x1a{length}{who}|\x08\x02\x12\x07watched\x1a{length}{who}")
    };
    let seen = call(&python, &pki, server.port, Some(&pki.client("alice"))).await;
    assert_eq!(seen["create"], "\x08\x01\x12\x04ACME\x1a\x05alice");
    assert_eq!(seen["watch"], watched("alice"));
    // What no rule allows is denied, whether it exists or not.
    assert_eq!(seen["unknown"][0], "PERMISSION_DENIED");
    assert_eq!(
        server.logged().await["path"],
        "/invoices.v1.Invoices/Delete"
    );

    // May connect, but not create.
    let seen = call(&python, &pki, server.port, Some(&pki.client("bob"))).await;
    assert_eq!(seen["create"], serde_json::json!(["PERMISSION_DENIED", ""]));
    assert_eq!(seen["watch"], watched("bob"));
    for path in ["Create", "Delete"] {
        let logged = server.logged().await;
        assert_eq!(logged["peer"], "bob");
        assert_eq!(logged["path"], format!("/invoices.v1.Invoices/{path}"));
    }

    // May not connect: by the policy, by its authority, without a certificate.
    let (eve, impostor) = (pki.client("eve"), pki.impostor());
    for (own, reason) in [
        (Some(&eve), "denied"),
        (Some(&impostor), "unknown_issuer"),
        (None, "no_certificate"),
    ] {
        let seen = call(&python, &pki, server.port, own).await;
        for call in ["create", "watch", "unknown"] {
            assert_eq!(seen[call][0], "UNAVAILABLE", "{seen}");
        }
        let logged = server.logged().await;
        assert_eq!(
            (&logged["event"], &logged["reason"]),
            (&"refused".into(), &reason.into())
        );
        // It may have tried more than once: the next server is its own.
        server.stop().await;
        server = serve(&pki).await;
    }
}
