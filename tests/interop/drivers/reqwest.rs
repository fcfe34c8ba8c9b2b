//! The handle for reqwest, with nginx. (`tests/frameworks` has more, with our own server.)

use countersign::identity::DnsName;
use countersign::integration::reqwest::Client;
use countersign::{ConnectError, Connector};
use support::proxies::{Listens, Proxy, Running};

use crate::world::{World, deny_all, rotate_under_traffic};

async fn server(world: &World, verify: &str) -> Option<(Running, String)> {
    if !Proxy::Nginx.is_installed() {
        return None;
    }
    let files = world.server();
    let site = format!(
        "ssl_certificate {};\nssl_certificate_key {};\nssl_client_certificate {};\n\
         ssl_protocols TLSv1.3;\nssl_verify_client {verify};\n\
         location / {{\nreturn 200 $ssl_client_serial;\n}}",
        files.cert.display(),
        files.key.display(),
        world.pki.ca_file.display(),
    );
    let server = Running::as_server(Proxy::Nginx, "ssl http2", &site).await;
    let Listens::Tcp(port) = server.listens else {
        unreachable!("a server has a port");
    };
    Some((server, format!("https://localhost:{port}/")))
}

fn client(connector: &Connector<DnsName>) -> Client<DnsName> {
    Client::configured(connector.clone(), reqwest::ClientBuilder::no_proxy).unwrap()
}

/// The serial number of the certificate that the server knows us by.
async fn ask(client: &Client<DnsName>, url: &str) -> Result<String, reqwest::Error> {
    let response = client.current()?.get(url).send().await?;
    response.error_for_status()?.text().await
}

#[tokio::test]
async fn allowed_denied_and_not_asked() {
    let world = World::new();
    let Some((_server, url)) = server(&world, "on").await else {
        return;
    };
    let alice = world.connector();
    let client_of_alice = client(&alice);
    ask(&client_of_alice, &url).await.unwrap();
    assert_eq!(world.reason(), None);
    for (connector, reason) in [
        (world.denying(), "denied"),
        (world.distrusting(), "unknown_issuer"),
    ] {
        ask(&client(&connector), &url).await.unwrap_err();
        assert_eq!(world.reason(), Some(reason));
    }
    let impostor = ask(&client(&world.impostor()), &url).await.unwrap_err();
    assert_eq!(impostor.status().map(|status| status.as_u16()), Some(400));
    world.trail.take();
    alice.control().set_policy(deny_all);
    ask(&client_of_alice, &url).await.unwrap_err();
    assert_eq!(world.reason(), Some("denied"), "the next request is denied");

    let Some((_silent, url)) = server(&world, "off").await else {
        return;
    };
    ask(&client(&world.connector()), &url).await.unwrap_err();
    assert_eq!(world.reason(), Some(ConnectError::NotAsked.reason()));
}

/// One handle, which no one replaces.
#[tokio::test]
async fn no_request_is_lost_while_credentials_are_replaced() {
    let world = World::new();
    let Some((_server, url)) = server(&world, "on").await else {
        return;
    };
    let alice = world.connector();
    let handle = client(&alice);
    let sent = rotate_under_traffic(
        &world,
        &alice,
        async || ask(&handle, &url).await.unwrap(), // the certificate from now on
        async |own| {
            let serial = ask(&handle, &url).await;
            serial.map(|serial| assert!(!serial.is_empty() && !own.is_empty()))
        },
    )
    .await;
    println!("reqwest: {sent} requests, 5 rotations");
    assert!(alice.control().stats().admitted >= 6);
}
