//! Both ends of the connections that echo.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::watch;

/// The time between two echoes of a connection.
const PERIOD: Duration = Duration::from_millis(200);
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What the clients have observed so far.
#[derive(Default)]
pub(crate) struct Seen {
    /// Echoes of each connection that stays.
    pub(crate) echoes: Vec<AtomicUsize>,
    /// Connections that have echoed once, of both halves.
    pub(crate) ready: AtomicUsize,
    /// Connections that received the alert `access_denied`.
    pub(crate) alerted: AtomicUsize,
    /// Connections that should have stayed open, and closed.
    pub(crate) broken: AtomicUsize,
}

impl Seen {
    pub(crate) fn counts(&self) -> Vec<usize> {
        let load = |count: &AtomicUsize| count.load(Ordering::SeqCst);
        self.echoes.iter().map(load).collect()
    }

    /// Waits until every connection that stays has echoed this often since `before`.
    pub(crate) async fn echoed(&self, before: &[usize], times: usize) {
        wait_until("every connection continues to echo", || {
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

/// Sends back what it receives, until the connection closes.
pub(crate) async fn serve(mut server: impl AsyncRead + AsyncWrite + Unpin) {
    let mut buffer = [0; 64];
    while let Ok(count @ 1..) = server.read(&mut buffer).await {
        if server.write_all(&buffer[..count]).await.is_err() || server.flush().await.is_err() {
            break;
        }
    }
}

/// A client that echoes five times a second until the bench is over.
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
    drop(begun.expect("the sender exists"));
    // The offsets spread the echoes over the period.
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

/// A client that echoes once, and waits for the server's alert.
pub(crate) async fn be_denied(mut client: impl AsyncRead + AsyncWrite + Unpin, seen: Arc<Seen>) {
    assert!(is_echoed(&mut client, 0).await, "it was admitted");
    seen.ready.fetch_add(1, Ordering::SeqCst);
    let error = client.read_u8().await.expect_err("denied");
    let alert = rustls::Error::AlertReceived(rustls::AlertDescription::AccessDenied);
    let alerted = error
        .downcast::<rustls::Error>()
        .is_ok_and(|error| error == alert);
    seen.alerted
        .fetch_add(usize::from(alerted), Ordering::SeqCst);
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

pub(crate) async fn wait_until(what: &str, mut is_met: impl FnMut() -> bool) {
    let patience = Instant::now() + PATIENCE;
    while !is_met() {
        assert!(Instant::now() < patience, "timed out: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
