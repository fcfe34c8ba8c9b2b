//! The wire between two sides, record by record.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf, split};
use tokio::task::yield_now;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    Client,
    Server,
}

/// Carries what both sides send until both have left, and calls `before` with the number of each
/// TLS record of one side before it is carried.
pub async fn carry(
    client: DuplexStream,
    server: DuplexStream,
    watched: From,
    before: impl FnMut(usize),
) {
    let (from_client, to_client) = split(client);
    let (from_server, to_server) = split(server);
    match watched {
        From::Client => tokio::join!(
            by_record(from_client, to_server, before),
            by_record(from_server, to_client, |_| {})
        ),
        From::Server => tokio::join!(
            by_record(from_client, to_server, |_| {}),
            by_record(from_server, to_client, before)
        ),
    };
}

async fn by_record(
    mut from: ReadHalf<DuplexStream>,
    mut to: WriteHalf<DuplexStream>,
    mut before: impl FnMut(usize),
) {
    let (mut bytes, mut number) = (Vec::new(), 0);
    while from.read_buf(&mut bytes).await.unwrap() > 0 {
        while let Some(length) = first_record(&bytes) {
            before(number);
            number += 1;
            // One who has refused does not listen.
            let _ = to.write_all(&bytes[..length]).await;
            bytes.drain(..length);
            yield_now().await; // it is taken in before the next one comes
        }
    }
    let _ = to.shutdown().await;
}

/// The length of the first record, once it is whole (RFC 8446 section 5.1).
fn first_record(bytes: &[u8]) -> Option<usize> {
    let length = u16::from_be_bytes([*bytes.get(3)?, *bytes.get(4)?]);
    let end = 5 + usize::from(length);
    (bytes.len() >= end).then_some(end)
}
