//! `countersign call` with nginx and HAProxy as servers: which it talks to, which it rejects,
//! and what it prints when it is rejected.
#![cfg(unix)] // as the proxies are

use support::interop::{BOTH, Files, Pki, Tls};
use support::programs::Finished;
use support::proxies::{Listens, Proxy, Running, together};
use support::running::{client, with};

/// Whether the server wants a certificate of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asks {
    Yes,
    No,
}

#[tokio::test]
async fn nginx_as_a_server() {
    if !Proxy::Nginx.is_installed() {
        return;
    }
    for tls in BOTH {
        let world = World::new(tls);
        world.assert_outcomes(nginx).await;

        // It finishes the handshake with any client, and then answers in HTTP.
        let server = nginx(&world.pki, tls, Asks::Yes).await;
        let impostor = world
            .call(&server, &world.pki.impostor(), &world.pki.ca_file)
            .await;
        assert_eq!(impostor.code, Some(1));
        assert!(impostor.stderr.contains("400 Bad Request"), "{impostor:?}");
    }
}

#[tokio::test]
async fn haproxy_as_a_server() {
    if !Proxy::Haproxy.is_installed() {
        return;
    }
    for tls in BOTH {
        let world = World::new(tls);
        world.assert_outcomes(haproxy).await;

        let server = haproxy(&world.pki, tls, Asks::Yes).await;
        let alert =
            "error[alert_received]: the server refused our certificate \"CN=alice\": unknown_ca";
        // HAProxy closes with our request unread: the reset that comes of it can overtake its alert.
        let mut said = Vec::new();
        while !said
            .last()
            .is_some_and(|said: &String| said.starts_with(alert))
        {
            assert!(said.len() < 20, "{said:?}");
            let impostor = world
                .call(&server, &world.pki.impostor(), &world.pki.ca_file)
                .await;
            assert_eq!(impostor.code, Some(1));
            said.push(impostor.stderr);
        }
    }
}

struct World {
    pki: Pki,
    alice: Files,
    tls: Tls,
}

impl World {
    fn new(tls: Tls) -> Self {
        let pki = Pki::new();
        Self {
            alice: pki.client("alice"),
            pki,
            tls,
        }
    }

    /// What does not depend on the server.
    async fn assert_outcomes(&self, start: impl AsyncFn(&Pki, Tls, Asks) -> Running) {
        let (pki, tls) = (&self.pki, self.tls);
        let server = start(pki, tls, Asks::Yes).await;
        let talks = self.call(&server, &self.alice, &pki.ca_file).await;
        let version = match tls {
            Tls::V12 => "TLSv1.2",
            Tls::V13 => "TLSv1.3",
        };
        let page = format!("hello alice by {version}");
        assert_eq!(
            (talks.code, talks.stdout),
            (Some(0), page),
            "{}",
            talks.stderr
        );

        let untrusted = self.call(&server, &self.alice, &pki.strange_ca_file).await;
        assert_eq!((untrusted.code, &*untrusted.stdout), (Some(1), ""));
        let names = untrusted
            .stderr
            .contains("the trust store has CN=Strange Root");
        assert!(names, "{untrusted:?}");

        let server = start(pki, tls, Asks::No).await;
        let not_asked = self.call(&server, &self.alice, &pki.ca_file).await;
        assert_eq!((not_asked.code, &*not_asked.stdout), (Some(1), ""));
        let says = "error[not_asked]: the server did not ask for our certificate";
        assert!(not_asked.stderr.starts_with(says), "{not_asked:?}");
    }

    async fn call(&self, server: &Running, files: &Files, ca: &std::path::Path) -> Finished {
        let Listens::Tcp(port) = &server.listens else {
            unreachable!("a server has a port");
        };
        let tls12 = (self.tls == Tls::V12).then(|| "--tls12".into());
        let options = with("--trust", ca).into_iter().chain(tls12);
        client(files, options, &format!("https://localhost:{port}/")).await
    }
}

async fn nginx(pki: &Pki, tls: Tls, asks: Asks) -> Running {
    let files = pki.files("server", &pki.server());
    let version = match tls {
        Tls::V12 => "TLSv1.2",
        Tls::V13 => "TLSv1.3",
    };
    let asks = match asks {
        Asks::Yes => format!(
            "ssl_verify_client on;\nssl_client_certificate {};\n",
            pki.ca_file.display()
        ),
        Asks::No => "ssl_verify_client off;\n".into(),
    };
    let site = format!(
        "ssl_certificate {};\nssl_certificate_key {};\nssl_protocols {version};\n{asks}\
         if ($ssl_client_s_dn ~ \"CN=(.*)\") {{ set $name $1; }}\n\
         location / {{\nreturn 200 \"hello $name by $ssl_protocol\";\n}}",
        files.cert.display(),
        files.key.display(),
    );
    Running::as_server(Proxy::Nginx, "ssl http2", &site).await
}

async fn haproxy(pki: &Pki, tls: Tls, asks: Asks) -> Running {
    let files = together(&pki.files("server", &pki.server()));
    let version = match tls {
        Tls::V12 => "TLSv1.2",
        Tls::V13 => "TLSv1.3",
    };
    let asks = match asks {
        Asks::Yes => format!("verify required ca-file {}", pki.ca_file.display()),
        Asks::No => "verify none".into(),
    };
    let listen = format!(
        "ssl crt {} alpn h2,http/1.1 ssl-min-ver {version} ssl-max-ver {version} {asks}",
        files.display()
    );
    let site = " http-request return status 200 content-type text/plain \
                lf-string \"hello %[ssl_c_s_dn(cn)] by %[ssl_fc_protocol]\"\n";
    Running::as_server(Proxy::Haproxy, &listen, site).await
}
