//! The identity of the client arrives, until it is revoked, and no client can change it.

use support::forwarded::{FORMATS, forwarded};
use support::interop::Pki;
use support::proxies::Proxy;
use support::running::with;

use super::front::{EDGE, Front, PROXIES, files, format_of, is_there, issued, server};

async fn the_identity_arrives(proxy: Proxy) {
    if !is_there(proxy) {
        return;
    }
    let pki = Pki::new();
    let (option, _) = format_of(proxy);
    let mut server = server(&pki, option, &[]).await;
    let front = Front::start(proxy, &pki, server.port).await;
    for name in ["client.example", "other.example"] {
        let got = front.get(&files(&pki, name), &[]).await;
        if got.status != 200 {
            let why = server.stop().await;
            panic!("{proxy:?}: {got:?}: {:?}", why.log.last());
        }
        let about = got.json();
        assert_eq!(about["identity"], name, "{proxy:?}");
        assert_eq!(about["proxy"], EDGE, "{proxy:?}");
        let event = server.logged_as("vouched").await;
        let own = &event["countersign"];
        assert_eq!(own["identity"]["value"], name, "{event}");
        assert_eq!(own["identity"]["proof"], "vouched", "{event}");
        assert_eq!(own["proxy"]["identity"], EDGE, "{event}");
        assert_eq!(own["proxy"]["ip"], "127.0.0.1", "{event}");
    }
    // A client whose certificate the proxy accepts, and we do not.
    let got = front.get(&files(&pki, "mallory.example"), &[]).await;
    assert_eq!(got.status, 403, "{proxy:?}: {got:?}");
    let event = server.logged_as("request_denied").await;
    assert_eq!(event["event"]["reason"], "denied", "{event}");
    assert_eq!(event["countersign"]["proxy"]["identity"], EDGE, "{event}");
    server.stop().await;
}

#[tokio::test]
async fn the_identity_arrives_through_envoy() {
    the_identity_arrives(Proxy::Envoy).await;
}

#[tokio::test]
async fn the_identity_arrives_through_nginx() {
    the_identity_arrives(Proxy::Nginx).await;
}

#[tokio::test]
async fn the_identity_arrives_through_haproxy() {
    the_identity_arrives(Proxy::Haproxy).await;
}

#[tokio::test]
async fn the_identity_arrives_through_caddy() {
    the_identity_arrives(Proxy::Caddy).await;
}

#[tokio::test]
async fn a_client_that_is_revoked_is_refused_at_its_next_request() {
    for proxy in PROXIES {
        if !is_there(proxy) {
            continue;
        }
        let pki = Pki::new();
        let denied = pki.write("denied.txt", "# none\n");
        let more = with("--deny-file", &denied);
        let (option, _) = format_of(proxy);
        let mut server = server(&pki, option, &more).await;
        server.logged_as("reload_applied").await; // at its start
        let front = Front::start(proxy, &pki, server.port).await;
        let (client, other) = (files(&pki, "client.example"), files(&pki, "other.example"));
        assert_eq!(front.get(&client, &[]).await.status, 200, "{proxy:?}");
        pki.write("denied.txt", "client.example\n");
        server.signal("HUP").await;
        server.logged_as("reload_applied").await;
        let got = front.get(&client, &[]).await;
        assert_eq!(got.status, 403, "{proxy:?}: {got:?}");
        let event = server.logged_as("request_denied").await;
        assert_eq!(
            event["event"]["reason"], "deny_listed",
            "{proxy:?}: {event}"
        );
        assert_eq!(event["countersign"]["identity"]["value"], "client.example");
        // The proxy and its other clients are served as before.
        assert_eq!(front.get(&other, &[]).await.status, 200, "{proxy:?}");
        server.stop().await;
    }
}

/// A client adds the headers of every proxy, for another client, in several spellings.
#[tokio::test]
async fn no_client_becomes_another_by_headers_that_a_proxy_passes_on() {
    for proxy in PROXIES {
        if !is_there(proxy) {
            continue;
        }
        let pki = Pki::new();
        let (option, own) = format_of(proxy);
        let server = server(&pki, option, &[]).await;
        let front = Front::start(proxy, &pki, server.port).await;
        let client = files(&pki, "client.example");
        let victim = issued(&pki, "other.example");
        let mut served = 0;
        for format in FORMATS {
            for (name, value) in forwarded(format, &victim) {
                let spelled = [
                    name.clone(),
                    name.replace('-', "_"),
                    name.replacen('-', "_", 1),
                    name.to_uppercase(),
                ];
                for name in spelled {
                    let one = [(name.clone(), value.clone())];
                    let two = [one[0].clone(), one[0].clone()];
                    let hidden = [one[0].clone(), ("Connection".to_owned(), name.clone())];
                    for headers in [&one[..], &two, &hidden] {
                        let got = front.get(&client, headers).await;
                        let what = format!("{proxy:?}: {name}, {} headers: {got:?}", headers.len());
                        if got.status == 200 {
                            served += 1;
                            assert_eq!(got.json()["identity"], "client.example", "{what}");
                        } else {
                            assert!([400, 403, 431].contains(&got.status), "{what}");
                        }
                    }
                }
            }
        }
        // The proxy replaces its own header, so that some of them are served as the client itself.
        assert!(served > 0, "{proxy:?} {own:?}");
        server.stop().await;
    }
}
