//! rumqttc with Mosquitto: over our stream, and with an exported configuration.
//!
//! The crate is `rumqttc-v4-next`, which continues `rumqttc` under the same name of the library. `rumqttc` 0.25
//! takes the same configuration, and no stream; it depends on an archived crate, which is not wanted here.

use countersign::Connector;
use countersign::identity::DnsName;
use rumqttc::{
    AsyncClient, ConnectionError, Event, EventLoop, Incoming, MqttOptions, PublishOptions,
    TlsConfiguration, Transport,
};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::sync::Mutex;

use crate::real::{Running, found, start};
use crate::world::{World, deny_all, exported, rotate_under_traffic};

/// Which of the two doors.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Door {
    Stream,
    Configuration,
}

const DOORS: [Door; 2] = [Door::Stream, Door::Configuration];

struct Mqtt {
    client: AsyncClient,
    events: EventLoop,
}

async fn server(world: &World, requires: bool) -> Option<Running> {
    let program = found("mosquitto")?;
    let files = world.server();
    let server = start("Mosquitto", |port| {
        let (cert, key) = (files.cert.display(), files.key.display());
        let ca = world.pki.ca_file.display();
        let anonymous = if requires {
            "use_identity_as_username true\nallow_anonymous false"
        } else {
            "allow_anonymous true"
        };
        let configuration = format!(
            "user root\nlistener {port} 127.0.0.1\ncafile {ca}\ncertfile {cert}\nkeyfile {key}\n\
             require_certificate {requires}\n{anonymous}\npersistence false\n"
        );
        let file = world
            .pki
            .write(&format!("mosquitto-{port}.conf"), configuration);
        let mut command = Command::new(&program);
        command.arg("-c").arg(file);
        command
    });
    Some(server.await)
}

/// A client whose session was accepted.
async fn connect(
    door: Door,
    connector: &Connector<DnsName>,
    server: &Running,
) -> Result<Mqtt, ConnectionError> {
    // Mosquitto ends the older one of two sessions with one name.
    let name = format!("orders-{}", connector.control().stats().attempts());
    let mut options = MqttOptions::new(name, ("localhost", server.port));
    match door {
        Door::Stream => {
            let (connector, port) = (connector.clone(), server.port);
            options.set_socket_connector(move |_, _| {
                let connector = connector.clone();
                async move {
                    let tcp = TcpStream::connect(("127.0.0.1", port)).await?;
                    let stream = connector.connect("localhost", tcp).await;
                    stream.map_err(std::io::Error::other)
                }
            });
        }
        Door::Configuration => {
            let configuration = TlsConfiguration::Rustls(exported(connector));
            options.set_transport(Transport::tls_with_config(configuration));
        }
    }
    let (client, mut events) = AsyncClient::builder(options).capacity(10).build();
    while !matches!(events.poll().await?, Event::Incoming(Incoming::ConnAck(_))) {}
    Ok(Mqtt { client, events })
}

/// Publishes, and waits until the server has acknowledged it.
async fn publish(mqtt: &mut Mqtt) -> Result<(), ConnectionError> {
    let options = PublishOptions::at_least_once();
    let published = mqtt.client.publish("orders", "order", options).await;
    published.expect("there is space");
    while !matches!(
        mqtt.events.poll().await?,
        Event::Incoming(Incoming::PubAck(_))
    ) {}
    Ok(())
}

#[tokio::test]
async fn allowed_and_denied() {
    let world = World::new();
    let Some(server) = server(&world, true).await else {
        return;
    };
    for door in DOORS {
        let alice = world.connector();
        let mut client = connect(door, &alice, &server).await.unwrap();
        publish(&mut client).await.unwrap();
        assert_eq!(world.reason(), None);
        assert!(connect(door, &world.impostor(), &server).await.is_err());
        world.trail.take();
        for (connector, reason) in [
            (world.denying(), "denied"),
            (world.distrusting(), "unknown_issuer"),
        ] {
            assert!(connect(door, &connector, &server).await.is_err());
            assert_eq!(world.reason(), Some(reason), "{door:?}");
        }
        // The open connection is cut where it is ours.
        alice.control().set_policy(deny_all);
        let ended = publish(&mut client).await;
        assert_eq!(ended.is_err(), door == Door::Stream, "{ended:?}");
        world.trail.take();
    }
}

#[tokio::test]
async fn no_message_is_lost_while_credentials_are_replaced() {
    let world = World::new();
    let Some(server) = server(&world, true).await else {
        return;
    };
    for door in DOORS {
        let alice = world.connector();
        let sent = rotate_under_traffic(
            &world,
            &alice,
            async || Mutex::new(connect(door, &alice, &server).await.unwrap()),
            async |mqtt| publish(&mut *mqtt.lock().await).await,
        )
        .await;
        println!("rumqttc, {door:?}: {sent} messages, 5 rotations");
        assert_eq!(alice.control().stats().admitted, 6);
    }
}

#[tokio::test]
async fn a_server_that_does_not_ask_is_rejected() {
    let world = World::new();
    let Some(server) = server(&world, false).await else {
        return;
    };
    for door in DOORS {
        assert!(connect(door, &world.connector(), &server).await.is_err());
        assert_eq!(world.reason(), Some("not_asked"), "{door:?}");
    }
}
