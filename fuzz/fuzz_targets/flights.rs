//! Real flights of both sides, mutated and in pieces of any size: no side panics or waits indefinitely, whatever
//! is admitted is the peer that it says, and each side has one event.
//!
//! The first byte has flags, the second the size of the pieces. Each edit that follows has four bytes: an
//! operation with the direction, a place in the stream of that direction, and a value.
#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use countersign::audit::Memory;
use countersign::identity::DnsName;
use countersign::testing::TestCa;
use countersign::{Acceptor, Connector, Resumption, policy};
use libfuzzer_sys::fuzz_target;
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, duplex, split,
};
use tokio::time::timeout;

const RESUMED: u8 = 1;
const STATELESS: u8 = 1 << 1;
const TLS_1_2: u8 = 1 << 2;
const FROM_THE_SERVER: u8 = 0x80;
/// More than the handshake timeout.
const ENDS: Duration = Duration::from_secs(60);

struct Fixture {
    acceptors: [Acceptor<DnsName>; 2],
    /// By version: TLS 1.3, and both.
    connectors: [Connector<DnsName>; 2],
    trails: [Memory; 2],
}

static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    let ca = TestCa::new("Root");
    let trails = [Memory::new(), Memory::new()];
    let acceptor = |choice| {
        Acceptor::builder()
            .credentials(ca.leaf().dns("server.example").issue().credentials())
            .trust(ca.trust())
            .identify(DnsName::extractor())
            .authorize(policy::allow_any())
            .resumption(choice)
            .audit(trails[0].clone())
            .audit_refusals_per_second(None)
            .allow_tls12()
            .build()
            .expect("an acceptor")
    };
    let connector = |allows_12| {
        let mut builder = Connector::builder()
            .credentials(ca.leaf().dns("client.example").issue().credentials())
            .trust(ca.trust())
            .identify(DnsName::extractor())
            .authorize(policy::allow_any())
            .audit(trails[1].clone())
            .audit_refusals_per_second(None);
        if allows_12 {
            let mut provider = rustls::crypto::ring::default_provider();
            provider
                .cipher_suites
                .retain(|suite| suite.tls13().is_none());
            builder = builder.allow_tls12().crypto_provider(provider);
        }
        builder.build().expect("a connector")
    };
    Fixture {
        acceptors: [
            acceptor(Resumption::Stateful),
            acceptor(Resumption::Stateless),
        ],
        connectors: [connector(false), connector(true)],
        trails,
    }
});

fuzz_target!(|input: &[u8]| {
    let [flags, size, edits @ ..] = input else {
        return;
    };
    let has = |flag| flags & flag != 0;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let acceptor = &FIXTURE.acceptors[usize::from(has(STATELESS))];
    let connector = &FIXTURE.connectors[usize::from(has(TLS_1_2))];
    runtime.block_on(async {
        if has(RESUMED) {
            assert!(meet(acceptor, connector, 255, &[]).await);
        }
        let both = meet(acceptor, connector, *size, edits).await;
        assert!(both || edits.len() >= 4, "nothing was changed");
    });
});

/// Whether both sides admit the other.
async fn meet(
    acceptor: &Acceptor<DnsName>,
    connector: &Connector<DnsName>,
    size: u8,
    edits: &[u8],
) -> bool {
    FIXTURE.trails.iter().for_each(|trail| drop(trail.take()));
    let (near, server_side) = duplex(64 * 1024);
    let (far, client_side) = duplex(64 * 1024);
    let ((from_server, to_server), (from_client, to_client)) =
        (split(server_side), split(client_side));
    let of = |is_server: bool| -> Vec<[u8; 4]> {
        let edits = edits.as_chunks::<4>().0.iter().copied();
        edits
            .filter(|edit| (edit[0] & FROM_THE_SERVER != 0) == is_server)
            .collect()
    };
    let pumps = tokio::spawn({
        let (down, up) = (of(true), of(false));
        async move {
            tokio::join!(
                pump(from_server, to_client, size, down),
                pump(from_client, to_server, size, up)
            )
        }
    });
    let served = async {
        let mut stream = acceptor.accept(near).await.ok()?;
        assert_eq!(stream.peer().identity().as_str(), "client.example");
        Some(echo(&mut stream).await)
    };
    let called = async {
        let mut stream = connector.connect("server.example", far).await.ok()?;
        assert_eq!(stream.peer().identity().as_str(), "server.example");
        Some(echo(&mut stream).await)
    };
    let both = timeout(ENDS, async { tokio::join!(served, called) }).await;
    let (served, called) = both.expect("both sides end");
    pumps.abort();
    for (trail, outcome) in FIXTURE.trails.iter().zip([&served, &called]) {
        let events = trail.take();
        let attempts: Vec<_> = events
            .iter()
            .filter(|event| event.action.ends_attempt())
            .collect();
        assert_eq!(attempts.len(), 1, "{attempts:?}");
        let is_admitted = attempts[0].action == countersign::audit::Action::Admitted;
        assert_eq!(is_admitted, outcome.is_some());
    }
    served == Some(true) && called == Some(true)
}

/// Whether a byte gets through, and is the one that was sent.
async fn echo(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> bool {
    let sent = async {
        stream.write_all(b"x").await?;
        stream.flush().await?;
        stream.read_u8().await
    };
    match timeout(Duration::from_secs(20), sent).await {
        Ok(Ok(byte)) => {
            assert_eq!(byte, b'x', "what is read was sent");
            true
        }
        _ => false,
    }
}

/// Forwards the stream in pieces, with its edits.
async fn pump(
    mut from: tokio::io::ReadHalf<DuplexStream>,
    mut to: tokio::io::WriteHalf<DuplexStream>,
    size: u8,
    edits: Vec<[u8; 4]>,
) {
    let mut at = 0;
    let mut buffer = vec![0; 1 + 8 * usize::from(size)];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let mut piece = Vec::with_capacity(count);
        for byte in &buffer[..count] {
            let mut bytes = vec![*byte];
            for [operation, high, low, value] in &edits {
                if usize::from(u16::from_be_bytes([*high, *low])) != at {
                    continue;
                }
                match operation & 7 {
                    0 => bytes.clear(),
                    1 => bytes.push(*value),
                    2 => bytes.extend(std::iter::repeat_n(*value, 1000)),
                    3 => {
                        let _ = to.shutdown().await;
                        return;
                    }
                    4 => bytes = vec![*value],
                    _ => bytes.iter_mut().for_each(|byte| *byte ^= value),
                }
            }
            piece.extend(bytes);
            at += 1;
        }
        if to.write_all(&piece).await.is_err() {
            return;
        }
        tokio::task::yield_now().await;
    }
    let _ = to.shutdown().await;
}
