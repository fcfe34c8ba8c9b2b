//! scylla with an exported configuration.
//!
//! The server here speaks TLS and no CQL: it records its clients, and closes.

use std::sync::{Arc, Mutex};

use countersign::Connector;
use countersign::gate::ServerNameVerification;
use countersign::identity::DnsName;
use scylla::client::session_builder::SessionBuilder;
use tokio::io::AsyncReadExt as _;

use crate::world::{World, exported, renew};

/// CQL's request OPTIONS, the first of a driver (native protocol 4 section 2.4).
const OPTIONS: u8 = 5;

async fn connect(connector: &Connector<DnsName>, port: u16) {
    let session = SessionBuilder::new()
        .known_node(format!("127.0.0.1:{port}"))
        .tls_context(Some(exported(connector)))
        .build()
        .await;
    assert!(session.is_err(), "there is no database");
}

#[tokio::test]
async fn each_connection_of_the_driver_is_authorized() {
    let world = World::new();
    let clients: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&clients);
    let server = world
        .serve(move |mut stream| {
            let seen = Arc::clone(&seen);
            async move {
                let mut header = [0; 9];
                if stream.read_exact(&mut header).await.is_ok() {
                    assert_eq!(header[4], OPTIONS);
                    seen.lock()
                        .unwrap()
                        .push(stream.peer().identity().to_string());
                }
            }
        })
        .await;
    // The driver's name of a server is its address.
    let by_policy = || {
        world
            .builder()
            .server_names(ServerNameVerification::ByPolicy)
    };
    let alice = by_policy().build().unwrap();
    connect(&alice, server.port).await;
    assert!(
        clients
            .lock()
            .unwrap()
            .iter()
            .all(|name| name == "alice.example")
    );
    assert!(!std::mem::take(&mut *clients.lock().unwrap()).is_empty());
    assert!(world.reasons().iter().all(Option::is_none));

    // New credentials are those of the next connection.
    let before = server.acceptor.control().stats().admitted;
    renew(&alice, world.alice().credentials());
    connect(&alice, server.port).await;
    assert!(server.acceptor.control().stats().admitted > before);
    clients.lock().unwrap().clear();
    world.trail.take();

    connect(&world.connector(), server.port).await;
    assert!(
        world.reasons().contains(&Some("name_mismatch")),
        "with the name that it has"
    );
    let denying = by_policy().build().unwrap();
    denying.control().set_policy(crate::world::deny_all);
    connect(&denying, server.port).await;
    assert!(world.reasons().contains(&Some("denied")));
    let silent = world.serve_without_asking().await;
    connect(&alice, silent).await;
    assert!(world.reasons().contains(&Some("not_asked")));
    assert!(
        clients.lock().unwrap().is_empty(),
        "none of them was served"
    );
}
