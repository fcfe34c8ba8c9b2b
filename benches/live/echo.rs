//! Both ends of the connections that echo.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::watch;

/// From one echo of a connection to its next.
const PERIOD: Duration = Duration::from_millis(200);
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What the clients have seen so far.
#[derive(Default)]
pub(crate) struct Seen {
    /// Echoes of each connection that stays.
    pub(crate) echoes: Vec<AtomicUsize>,
    /// Connections that have echoed once, of both halves.
    pub(crate) ready: AtomicUsize,
    /// Connections that were told `access_denied`.
    pub(crate) told: AtomicUsize,
    /// Connections that stay, and could not.
    pub(crate) broken: AtomicUsize,
}

impl Seen {
    pub(crate) fn counts(&self) -> Vec<usize> {
        let load = |count: &AtomicUsize| count.load(Ordering::SeqCst);
        self.echoes.iter().map(load).collect()
    }

    /// Until every connection that stays has echoed this often since `before`.
    pub(crate) async fn echoed(&self, before: &[usize], times: usize) {
        wait_until("every connection goes on echoing", || {
            let mut counts = self.counts().into_iter().zip(before);
            counts.all(|(now, before)| now >= before + times)
        })
        .await;
    }
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Phase {
    Opening,
    Echoing,
    Over,
}

/// Sends back what comes, up to the end.
pub(crate) async fn serve(mut server: impl AsyncRead + AsyncWrite + Unpin) {
    let mut buffer = [0; 64];
    while let Ok(count @ 1..) = server.read(&mut buffer).await {
        if server.write_all(&buffer[..count]).await.is_err() || server.flush().await.is_err() {
            break;
        }
    }
}

/// A client that echoes five times a second until it is all over.
pub(crate) async fn stay(
    mut client: impl AsyncRead + AsyncWrite + Unpin,
    index: usize,
    seen: Arc<Seen>,
    mut phases: watch::Receiver<Phase>,
) {
    if !is_echoed(&mut client, 0).await {
        seen.broken.fetch_add(1, Ordering::SeqCst);
        return;
    }
    seen.ready.fetch_add(1, Ordering::SeqCst);
    let begun = phases.wait_for(|phase| *phase != Phase::Opening).await;
    drop(begun.expect("it begins"));
    // Spread over the period.
    let offset = PERIOD.mul_f64(index as f64 / seen.echoes.len() as f64);
    let mut ticks = tokio::time::interval_at((Instant::now() + offset).into(), PERIOD);
    for number in (1..=u8::MAX).cycle() {
        ticks.tick().await;
        if *phases.borrow() == Phase::Over {
            return;
        }
        if !is_echoed(&mut client, number).await {
            seen.broken.fetch_add(1, Ordering::SeqCst);
            return;
        }
        seen.echoes[index].fetch_add(1, Ordering::SeqCst);
    }
}

/// A client that echoes once, and waits for the server's word.
pub(crate) async fn be_denied(mut client: impl AsyncRead + AsyncWrite + Unpin, seen: Arc<Seen>) {
    assert!(is_echoed(&mut client, 0).await, "it was admitted");
    seen.ready.fetch_add(1, Ordering::SeqCst);
    let error = client.read_u8().await.expect_err("denied");
    let alert = rustls::Error::AlertReceived(rustls::AlertDescription::AccessDenied);
    let told = error
        .downcast::<rustls::Error>()
        .is_ok_and(|error| error == alert);
    seen.told.fetch_add(usize::from(told), Ordering::SeqCst);
}

/// Whether the server sends a byte back.
async fn is_echoed(client: &mut (impl AsyncRead + AsyncWrite + Unpin), byte: u8) -> bool {
    let echoed = async {
        client.write_all(&[byte]).await?;
        client.flush().await?;
        client.read_u8().await
    };
    echoed.await.is_ok_and(|echo| echo == byte)
}

pub(crate) async fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let patience = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < patience, "not so: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
