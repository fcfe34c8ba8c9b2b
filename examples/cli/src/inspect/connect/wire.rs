//! A socket with limits of time and length.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// More than any handshake needs.
const MOST_RECEIVED: u64 = 1 << 20;

/// Enough to distinguish HTTP from TLS.
const PREFIX: usize = 5;

pub(super) struct Wire {
    tcp: TcpStream,
    deadline: Instant,
    /// A whole flight is written at once. A server that rejects the first half closes the connection; it
    /// would answer the second half with a reset, which overtakes the alert.
    flight: Vec<u8>,
    prefix: Vec<u8>,
    received: u64,
    closed: bool,
}

/// Whether the read timed out.
pub(super) fn is_silence(error: &io::Error) -> bool {
    // The kind depends on the platform.
    matches!(
        error.kind(),
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock
    )
}

impl Wire {
    pub(super) const fn new(tcp: TcpStream, deadline: Instant) -> Self {
        Self {
            tcp,
            deadline,
            flight: Vec::new(),
            prefix: Vec::new(),
            received: 0,
            closed: false,
        }
    }

    /// Limits the remaining time.
    pub(super) fn listen_for(&mut self, time: Duration) {
        self.deadline = self.deadline.min(Instant::now() + time);
    }

    pub(super) const fn received(&self) -> u64 {
        self.received
    }

    /// Whether the server closed the connection.
    pub(super) const fn was_closed(&self) -> bool {
        self.closed
    }

    pub(super) fn begins_like_http(&self) -> bool {
        self.prefix.starts_with(b"HTTP/")
    }

    fn time_left(&self) -> io::Result<Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(left)
    }

    fn note<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &result {
            self.closed |= matches!(
                error.kind(),
                io::ErrorKind::ConnectionReset
                    | io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::BrokenPipe
            );
        }
        result
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.received > MOST_RECEIVED {
            return Err(io::Error::other("it sends more than any handshake needs"));
        }
        self.flush()?;
        self.tcp.set_read_timeout(Some(self.time_left()?))?;
        let result = self.tcp.read(buffer);
        let count = self.note(result)?;
        self.closed |= count == 0;
        let new = buffer.get(..count).unwrap_or_default();
        let missing = PREFIX.saturating_sub(self.prefix.len());
        self.prefix.extend(new.iter().take(missing));
        self.received += count as u64;
        Ok(count)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flight.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let flight = std::mem::take(&mut self.flight);
        self.tcp.set_write_timeout(Some(self.time_left()?))?;
        let result = self.tcp.write_all(&flight);
        match self.note(result) {
            // Its alert may still be readable.
            Err(_) if self.closed => Ok(()),
            result => result,
        }
    }
}
