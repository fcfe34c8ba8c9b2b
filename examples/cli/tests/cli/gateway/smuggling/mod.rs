//! Request smuggling: bytes that two servers could read differently, through the gateway to an upstream that
//! keeps every byte.
//!
//! For each case, the upstream receives the requests that the gateway authorized and no other, with no header
//! of identity but the gateway's.

mod http1;
mod http2;
mod upstream;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::front::{Front, Running};
use super::support::PATIENCE;
use upstream::{Received, Upstream};

/// The gateway before the upstream.
struct Smuggling {
    front: Front,
    gateway: Running,
    upstream: Upstream,
}

impl Smuggling {
    /// `/raw/open` and below is for alice, `/raw/admin` and below for the administrator.
    async fn new() -> Self {
        let front = Front::new();
        let upstream = Upstream::start().await;
        let route = |name: &str, who: &str| {
            format!(
                "[[routes]]\nname = \"{name}\"\nwho = [\"{who}.example\"]\n\
                 methods = [\"GET\", \"POST\", \"OPTIONS\"]\npath = \"/raw/{name}/{{*rest}}\"\nupstream = \"raw\"\n"
            )
        };
        let more = format!(
            "[limits]\nhead_seconds = 2\nanswer_seconds = 2\n\
             [upstreams.raw]\nurl = \"http://{}\"\n[upstreams.raw.headers]\nx-team = \"orders\"\n{}{}",
            upstream.address,
            route("open", "alice"),
            route("admin", "bob"),
        );
        let gateway = front.run(&more).await;
        Self {
            front,
            gateway,
            upstream,
        }
    }

    /// Sends these bytes over a connection of alice, and returns what the gateway answers until it closes the
    /// connection, or until `is_enough`.
    async fn exchange(
        &self,
        alpn: &str,
        sent: &[u8],
        is_enough: impl Fn(&[u8]) -> bool,
    ) -> Vec<u8> {
        let connector = self.front.connector("alice.example", alpn);
        let tcp = TcpStream::connect(("127.0.0.1", self.gateway.port));
        let stream = connector.connect("localhost", tcp.await.unwrap());
        let (mut reading, mut writing) = tokio::io::split(stream.await.unwrap());
        let sending = async {
            // The gateway may close before it has read everything.
            let _ = writing.write_all(sent).await;
            let _ = writing.flush().await;
        };
        let reading = async {
            let mut answer = Vec::new();
            let mut buffer = [0; 4096];
            while !is_enough(&answer) {
                match reading.read(&mut buffer).await {
                    Ok(0) | Err(_) => break,
                    Ok(read) => answer.extend_from_slice(&buffer[..read]),
                }
            }
            answer
        };
        let both = async { tokio::join!(sending, reading).1 };
        timeout(PATIENCE, both)
            .await
            .expect("an answer, or the end of the connection")
    }

    /// The targets and bodies of the requests that the upstream has received for a case, in Latin-1. `wrong` gets what
    /// is wrong with them.
    async fn received(&self, case: &str, wrong: &mut Vec<String>) -> Vec<(String, String)> {
        let received = self.upstream.take(case).await;
        let problems = received.iter().filter_map(Received::problem);
        wrong.extend(problems.map(|problem| format!("{case}: {problem}")));
        let seen = received.into_iter().map(|request| {
            let target = request.line.split(' ').nth(1).unwrap().to_owned();
            (target, upstream::text(&request.body))
        });
        seen.collect()
    }
}
