//! The end of a handshake that quinn drives, for both sides.

use std::io;

use quinn::{Connecting, ConnectionError};
use rustls_pki_types::CertificateDer;

use crate::HandshakeError;
use crate::gate::AdmitError;
use crate::stream::handshake::Driver;
use crate::tls::quic::{QuicError, QuicHandshake};
use crate::tls::{Failure, most_specific};

/// An attempt whose handshake quinn drives. If it is dropped, the attempt is abandoned, with what was observed.
pub(super) struct Handshaking<I: Send + Sync + 'static, E> {
    /// `None` once the attempt has an outcome.
    driver: Option<Driver<I, E>>,
    handshake: QuicHandshake,
    not_asked: fn() -> E,
}

impl<I, E> Handshaking<I, E>
where
    I: Send + Sync + 'static,
    E: Failure + From<AdmitError> + From<HandshakeError>,
{
    /// `not_asked` is the error for a server that does not request our certificate.
    pub(super) const fn new(
        driver: Driver<I, E>,
        handshake: QuicHandshake,
        not_asked: fn() -> E,
    ) -> Self {
        Self {
            driver: Some(driver),
            handshake,
            not_asked,
        }
    }

    /// Waits until the handshake is complete. Returns the connection, and the chain that the peer has proven
    /// its key for.
    pub(super) async fn complete(
        mut self,
        connecting: Result<Connecting, Begin>,
    ) -> Result<
        (
            Driver<I, E>,
            quinn::Connection,
            Vec<CertificateDer<'static>>,
        ),
        E,
    > {
        let connecting = match connecting {
            Ok(connecting) => connecting,
            Err(Begin::Connection(error)) => return Err(self.failed(error)),
            Err(Begin::Io(error)) => return Err(self.fail(|_| HandshakeError::Io(error).into())),
        };
        let Some(driver) = &mut self.driver else {
            return Err(AdmitError::HandshakeIncomplete.into());
        };
        let connection = match driver.wait(connecting).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return Err(self.failed(error)),
            Err(stopped) => {
                return Err(match self.observed() {
                    Some(driver) => driver.stop(stopped),
                    None => AdmitError::HandshakeIncomplete.into(),
                });
            }
        };
        match (self.handshake.complete(), self.observed()) {
            (Some(presented), Some(driver)) => Ok((driver, connection, presented)),
            (_, Some(driver)) => Err(driver.fail(AdmitError::HandshakeIncomplete.into())),
            (_, None) => Err(AdmitError::HandshakeIncomplete.into()),
        }
    }

    /// Records the failure, and returns it.
    fn failed(self, error: ConnectionError) -> E {
        let (why, not_asked) = (self.handshake.why(error), self.not_asked);
        self.fail(|driver| match why {
            QuicError::NotAsked => not_asked(),
            QuicError::Other(error) => most_specific(error, &driver.attempt.probe),
        })
    }

    fn fail(mut self, why: impl FnOnce(&Driver<I, E>) -> E) -> E {
        match self.observed() {
            Some(driver) => {
                let error = why(&driver);
                driver.fail(error)
            }
            None => AdmitError::HandshakeIncomplete.into(),
        }
    }
}

impl<I: Send + Sync + 'static, E> Handshaking<I, E> {
    /// The attempt, with what was observed.
    fn observed(&mut self) -> Option<Driver<I, E>> {
        let mut driver = self.driver.take()?;
        let attempt = &mut driver.attempt;
        let (probe, info) = self.handshake.take();
        attempt.probe = probe;
        let known = std::mem::take(&mut attempt.info);
        attempt.info = info
            .with_remote_addr(known.remote_addr())
            .with_local_addr(known.local_addr());
        // On a client, it is the name that it connects to.
        if let Some(name) = known.server_name() {
            attempt.info = std::mem::take(&mut attempt.info).with_server_name(name);
        }
        Some(driver)
    }
}

impl<I: Send + Sync + 'static, E> Drop for Handshaking<I, E> {
    fn drop(&mut self) {
        drop(self.observed());
    }
}

/// Why quinn does not begin a handshake.
pub(super) enum Begin {
    /// The first packet ended it.
    Connection(ConnectionError),
    Io(io::Error),
}

impl From<ConnectionError> for Begin {
    fn from(error: ConnectionError) -> Self {
        Self::Connection(error)
    }
}

impl From<quinn::ConnectError> for Begin {
    fn from(error: quinn::ConnectError) -> Self {
        let kind = match error {
            quinn::ConnectError::EndpointStopping => io::ErrorKind::NotConnected,
            _ => io::ErrorKind::InvalidInput,
        };
        Self::Io(io::Error::new(kind, error))
    }
}
