//! What the fuzz targets call: readers of what a peer sends that have no public function.

use super::client_proofs;
use super::server_hello::ServerHelloReader;
use super::transcript::Messages;

/// The version, the cipher suite and the group in a server's first bytes, received in these pieces.
pub fn server_hello<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Option<(u16, u16, Option<u16>)> {
    let mut reader = ServerHelloReader::default();
    pieces.into_iter().for_each(|piece| reader.feed(piece));
    let found = reader.found()?;
    let group = found.group.map(u16::from);
    Some((found.version.into(), found.cipher_suite.into(), group))
}

/// Whether a transcript has a CertificateRequest, and the type of its last message if it ends with it.
pub fn transcript<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (bool, Option<u8>) {
    let mut messages = Messages::default();
    pieces.into_iter().for_each(|piece| messages.read(piece));
    (messages.asked, messages.last())
}

/// The client's certificate in a session of rustls.
pub fn leaf_of_session(session: &[u8]) -> Option<&[u8]> {
    client_proofs::leaf(session)
}
