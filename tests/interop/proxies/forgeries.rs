//! What is refused from a proxy, and from everyone else, over real connections.

use std::path::PathBuf;

use countersign::identity::DnsName;
use countersign::testing::{Issued, TestCa};
use countersign::{Connector, policy};
use support::forwarded::{Cast, FORMATS, Format, Headers, forwarded, verified_by_aws};
use support::interop::Pki;
use support::programs::PATIENCE;
use support::running::{Server, with};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::front::{EDGE, issued, server};

const fn option_of(format: Format) -> &'static str {
    match format {
        Format::ClientCert => "client-cert",
        Format::Xfcc => "xfcc",
        Format::AwsAlb => "aws-alb",
        Format::Nginx => "nginx",
        Format::Haproxy => "haproxy",
    }
}

/// Status and body of a request with these headers, over a new connection of this peer.
async fn ask(ca: &TestCa, own: &Issued, port: u16, headers: &Headers) -> (u16, String) {
    let connector: Connector<DnsName> = Connector::builder()
        .credentials(own.credentials())
        .trust(ca.trust())
        .identify(DnsName::extractor())
        .authorize(policy::allow_any())
        .alpn(["http/1.1"])
        .build()
        .unwrap();
    let mut request = "GET / HTTP/1.1\r\nHost: localhost\r\n".to_owned();
    let mut connection = vec!["close".to_owned()];
    for (name, value) in headers {
        match &**name {
            "Connection" => connection.push(value.clone()),
            name => request.push_str(&format!("{name}: {value}\r\n")),
        }
    }
    request.push_str(&format!("Connection: {}\r\n\r\n", connection.join(", ")));
    let asking = async {
        let tcp = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let mut stream = connector.connect("localhost", tcp).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let answer = timeout(PATIENCE, asking).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect(&answer);
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

/// The server of one format, which knows the intermediate of the cast.
async fn server_of(pki: &Pki, cast: &Cast, format: Format) -> Server {
    let issuing: PathBuf = pki.write("issuing.pem", cast.issuing.pem());
    server(pki, option_of(format), &with("--trust", &issuing)).await
}

#[tokio::test]
async fn no_forgery_of_a_proxy_passes() {
    let pki = Pki::new();
    let cast = Cast::new(&pki.ca);
    let edge = issued(&pki, EDGE);
    let forgeries = cast.forgeries();
    assert!(forgeries.len() >= 40, "{}", forgeries.len());
    let mut wrong = Vec::new();
    for format in FORMATS {
        let mut server = server_of(&pki, &cast, format).await;
        // The positive twin.
        let mut good = vec![forwarded(format, &cast.client)];
        if format == Format::AwsAlb {
            good.push(verified_by_aws(&cast.client));
        }
        for good in good {
            let (status, body) = ask(&pki.ca, &edge, server.port, &good).await;
            assert_eq!(status, 200, "{format:?}: {body}");
            assert!(body.contains(r#""identity":"client.example""#), "{body}");
        }
        for forgery in forgeries.iter().filter(|it| it.format == format) {
            let (status, body) = ask(&pki.ca, &edge, server.port, &forgery.headers).await;
            let event = server.logged_as("request_denied").await;
            let reason = event["event"]["reason"].as_str().unwrap();
            if status != 403 || reason != forgery.reason {
                let what = format!("{format:?}: {}", forgery.what);
                wrong.push(format!("{what}: {status} {reason} {body}"));
            }
        }
        server.stop().await;
    }
    assert_eq!(wrong, Vec::<String>::new());
    eprintln!("{} forgeries, 0 passed", forgeries.len());
}

#[tokio::test]
async fn a_header_from_elsewhere_is_refused() {
    let pki = Pki::new();
    let cast = Cast::new(&pki.ca);
    let mut server = server_of(&pki, &cast, Format::Nginx).await;
    // An allowed client, and not a proxy.
    let other = issued(&pki, "other.example");
    for format in [
        Format::ClientCert,
        Format::Xfcc,
        Format::AwsAlb,
        Format::Nginx,
    ] {
        for headers in [
            forwarded(format, &cast.client),
            forwarded(format, &cast.other),
        ] {
            let (status, body) = ask(&pki.ca, &other, server.port, &headers).await;
            assert_eq!(status, 403, "{format:?}: {body}");
            let event = server.logged_as("request_denied").await;
            let reason = &event["event"]["reason"];
            assert_eq!(reason, "proxied_identity_not_from_proxy", "{event}");
        }
    }
    let (status, body) = ask(&pki.ca, &other, server.port, &Vec::new()).await;
    assert_eq!(status, 200);
    assert!(
        body.contains(r#""identity":"other.example""#) && !body.contains("proxy"),
        "{body}"
    );
    server.stop().await;
}
