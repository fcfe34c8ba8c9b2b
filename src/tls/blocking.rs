//! A handshake over a transport that blocks.

use std::io::{self, Read, Write};

use rustls::Connection;

use super::attempt::{Attempt, Failure, most_specific};
use super::error::HandshakeError;
use super::probe::{record_received, record_sent};
use crate::gate::AdmitError;

/// A connection of either side, until its peer is admitted.
pub(crate) struct BlockingHandshake<I: Send + Sync + 'static> {
    connection: Connection,
    /// `None` once the attempt has failed.
    attempt: Option<Attempt<I>>,
}

impl<I: Send + Sync + 'static> BlockingHandshake<I> {
    pub(crate) fn new(connection: Connection, attempt: Attempt<I>) -> Self {
        Self {
            connection,
            attempt: Some(attempt),
        }
    }

    /// Reads and writes until the handshake is complete. An error other than `WouldBlock` is the
    /// outcome of the attempt.
    pub(crate) fn complete<E>(&mut self, io: &mut (impl Read + Write)) -> Result<(), E>
    where
        E: Failure + From<AdmitError> + From<HandshakeError>,
    {
        let connection = &mut self.connection;
        let Some(mut attempt) = self.attempt.take() else {
            return Err(AdmitError::HandshakeIncomplete.into());
        };
        let result = attempt.probe.with_probe(|| {
            while connection.is_handshaking() || connection.wants_write() {
                connection.complete_io(&mut Watched(&mut *io))?;
            }
            io::Result::Ok(())
        });
        let Err(error) = result else {
            self.attempt = Some(attempt);
            return Ok(());
        };
        let may_continue = error.kind() == io::ErrorKind::WouldBlock;
        let error = HandshakeError::from_io(error, &attempt.probe);
        let error: E = most_specific(error, &attempt.probe);
        if may_continue {
            self.attempt = Some(attempt);
        } else {
            // A failure is recorded in any case.
            let _ = attempt.finish(Err(&error), &[]);
        }
        Err(error)
    }

    /// The connection, and the attempt unless it has failed.
    pub(crate) fn into_parts(self) -> Option<(Connection, Attempt<I>)> {
        let mut attempt = self.attempt?;
        // The handshake is complete, and the transport is the caller's.
        attempt.sends_alert = false;
        Some((self.connection, attempt))
    }
}

/// Records the bytes in both directions in the probe.
struct Watched<'a, IO>(&'a mut IO);

impl<IO: Read> Read for Watched<'_, IO> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.0.read(buffer)?;
        record_received(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}

impl<IO: Write> Write for Watched<'_, IO> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.0.write(bytes)?;
        record_sent(bytes.get(..count).unwrap_or_default());
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
