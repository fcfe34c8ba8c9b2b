//! Authorities, clients and acceptors at a fixed time, so that messages are the same every time.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use countersign::builder::{Builder, ServerSide};
use countersign::identity::{CommonName, IdentityExtractor};
use countersign::testing::{FixedClock, Issued, LeafBuilder, TestCa, TestCaBuilder};
use countersign::trust::Trust;
use countersign::{AcceptError, Acceptor, Policy, policy};
use rustls_pki_types::UnixTime;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::cases::Situation;
use super::doors;
use super::page::{Alert, Sender};
use crate::callers::{Answer, Caller, Order};
use support::interop::{Files, Served, listen, name, serve};
use support::programs::PATIENCE;

/// 2020-01-01T00:00:00Z. Clients look at the real clock, and at the server's certificate only.
pub(crate) const LONG_AGO: u64 = 1_577_836_800;
/// 2026-06-01T00:00:00Z.
pub(crate) const LAST_MONTH: u64 = 1_780_272_000;
/// The acceptors' clock: 2026-07-01T00:00:00Z.
const NOW: u64 = 1_782_864_000;
/// 2026-08-01T00:00:00Z.
pub(crate) const NEXT_MONTH: u64 = 1_785_542_400;
/// 2049-12-31T00:00:00Z.
pub(crate) const FAR_AWAY: u64 = 2_524_521_600;

pub(crate) struct World {
    pub(crate) root: TestCa,
    pub(crate) issuing: TestCa,
    pub(crate) stranger: TestCa,
    pub(crate) root_file: PathBuf,
    pub(crate) stranger_file: PathBuf,
    folder: TempDir,
    written: AtomicUsize,
}

pub(crate) fn at(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

/// An authority of this name.
pub(crate) fn ca(name: &str) -> TestCaBuilder {
    TestCa::builder(name).validity(at(LONG_AGO), at(FAR_AWAY))
}

pub(crate) fn built(builder: Builder<ServerSide, CommonName>) -> Acceptor<CommonName> {
    builder.build().expect("an acceptor")
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (root, stranger) = (ca("Root").root(), ca("Stranger").root());
        let write = |name: &str, ca: &TestCa| {
            let path = folder.path().join(name);
            std::fs::write(&path, ca.pem()).expect("the folder is writable");
            path
        };
        Self {
            issuing: ca("Issuing").signed_by(&root),
            root_file: write("root.pem", &root),
            stranger_file: write("stranger.pem", &stranger),
            root,
            stranger,
            folder,
            written: AtomicUsize::new(0),
        }
    }

    /// A leaf that calls itself `alice`, of this authority.
    pub(crate) fn alice_of(&self, ca: &TestCa) -> LeafBuilder {
        self.nameless(ca).common_name("alice")
    }

    /// The same without a name.
    pub(crate) fn nameless(&self, ca: &TestCa) -> LeafBuilder {
        ca.leaf()
            .serial(&[0x2a])
            .validity(at(LONG_AGO), at(FAR_AWAY))
    }

    pub(crate) fn alice(&self) -> LeafBuilder {
        self.alice_of(&self.root)
    }

    pub(crate) fn files(&self, issued: &Issued) -> Files {
        let name = self.written.fetch_add(1, Ordering::Relaxed);
        let write = |name: String, text: String| {
            let path = self.folder.path().join(name);
            std::fs::write(&path, text).expect("the folder is writable");
            path
        };
        Files {
            cert: write(format!("{name}.crt"), issued.chain_pem()),
            key: write(format!("{name}.key"), issued.key_pem()),
        }
    }

    /// Lets `alice` in.
    pub(crate) fn acceptor(&self) -> Builder<ServerSide, CommonName> {
        self.acceptor_of(self.root.trust())
    }

    /// The same, who believes others.
    pub(crate) fn acceptor_of(&self, trust: impl Into<Trust>) -> Builder<ServerSide, CommonName> {
        let alice = policy::exact([name("alice")]);
        self.build(trust, CommonName::extractor(), alice)
    }

    /// The same, who looks for the name elsewhere.
    pub(crate) fn acceptor_by(
        &self,
        extractor: impl IdentityExtractor<Identity = CommonName> + 'static,
    ) -> Builder<ServerSide, CommonName> {
        self.build(self.root.trust(), extractor, policy::allow_any())
    }

    /// Lets others in.
    pub(crate) fn acceptor_with(
        &self,
        policy: impl Policy<CommonName> + 'static,
    ) -> Builder<ServerSide, CommonName> {
        self.build(self.root.trust(), CommonName::extractor(), policy)
    }

    fn build(
        &self,
        trust: impl Into<Trust>,
        extractor: impl IdentityExtractor<Identity = CommonName> + 'static,
        policy: impl Policy<CommonName> + 'static,
    ) -> Builder<ServerSide, CommonName> {
        let server = self
            .nameless(&self.root)
            .common_name("server")
            .dns("localhost");
        Acceptor::builder()
            .credentials(server.issue().credentials())
            .trust(trust)
            .identify(extractor)
            .authorize(policy)
            .alpn(["http/1.1"])
            .clock(FixedClock::at(at(NOW)))
    }
}

/// What both sides make of the client's first connection; `None` when the program cannot do this.
pub(crate) async fn call(
    situation: &Situation,
    caller: &mut Caller,
) -> Option<(Answer, Result<Served, AcceptError>)> {
    let (listener, port) = listen().await;
    let (outcomes, mut outcome) = mpsc::unbounded_channel();
    let acceptor = situation.acceptor.clone();
    let door = situation.door;
    // Stays until all is over.
    let _stalled = match door.is_some_and(|door| door.is_crowded) {
        true => Some(doors::stall(port).await),
        false => None,
    };
    // Some clients try a second time.
    let serve = async move {
        if let Some(door) = door {
            return doors::serve(door, acceptor, listener, outcomes).await;
        }
        loop {
            let served = serve(&acceptor, &listener).await;
            if outcomes.send(served.map(|(served, _)| served)).is_err() {
                break;
            }
        }
    };
    let order = Order {
        host: situation.host,
        port,
        speaks: situation.speaks,
        ca: &situation.ca,
        files: situation.client.as_ref(),
        tls: situation.tls,
        wait: situation.wait,
    };
    let (answer, serving) = if situation.wait.is_some() {
        (caller.call(order).await?, tokio::spawn(serve))
    } else {
        let serving = tokio::spawn(serve);
        (caller.call(order).await?, serving)
    };
    let served = timeout(PATIENCE, outcome.recv())
        .await
        .expect("it is served in time");
    serving.abort();
    Some((answer, served.expect("an outcome")))
}

/// The alert in the clear that answers a client which does not speak TLS.
pub(crate) async fn plain_alert(situation: &Situation) -> Option<Alert> {
    let (listener, port) = listen().await;
    let client = async {
        let mut tcp = TcpStream::connect(("127.0.0.1", port))
            .await
            .expect("it listens");
        if let Some(request) = situation.speaks.first_words() {
            tcp.write_all(request).await.expect("it listens");
        }
        let mut answer = Vec::new();
        tcp.read_to_end(&mut answer).await.expect("its end");
        answer
    };
    let both = async { tokio::join!(serve(&situation.acceptor, &listener), client).1 };
    let answer = timeout(PATIENCE, both).await.expect("both end in time");
    match answer[..] {
        [] => None,
        // RFC 8446 sections 5.1 and 6: a record of two bytes, level and description.
        [21, 3, _, 0, 2, _, number] => Some(Alert {
            number,
            sender: Sender::Server,
        }),
        _ => panic!("neither an alert nor nothing: {answer:?}"),
    }
}
