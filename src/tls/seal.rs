//! The final records of a connection that we close.
//!
//! rustls has no call to send an alert of our choice after the handshake. But it can return the traffic
//! secrets of a connection. So the connection is taken apart, and its final record, a fatal alert, is
//! sealed here with rustls' own record encryption.
//!
//! The secrets are those of the next record, and the peer must have the same ones to decrypt it. rustls
//! answers a KeyUpdate that requests one of ours by changing its keys at once, and holds its own KeyUpdate
//! back until the next write of data (RFC 8446 section 4.6.3 allows that). `write_tls` and `flush` do not
//! send it, but a write of no data does. So that comes first.

use std::io::{self, Write as _};

use rustls::crypto::cipher::{AeadKey, Iv, MessageEncrypter, OutboundChunks, OutboundPlainMessage};
use rustls::{
    AlertDescription, Connection, ConnectionTrafficSecrets, ContentType, Error, ExtractedSecrets,
    ProtocolVersion, SupportedCipherSuite,
};

/// Closes a connection, and appends its final records to `records`: those that rustls had not sent yet,
/// one with this data if it is not empty, and a fatal alert. Returns where the alert begins.
///
/// # Errors
/// No alert could be sealed, and none is appended: the connection has failed before (rustls' own
/// alert for that is appended, if it was not sent yet), its handshake is not over, or its
/// configuration does not allow secret extraction.
pub(crate) fn fatal_alert(
    mut connection: Connection,
    alert: AlertDescription,
    data: &[u8],
    records: &mut Vec<u8>,
) -> Result<usize, Error> {
    const FATAL: u8 = 2;

    let has_failed = connection.writer().write(&[]).is_err();
    append_pending(&mut connection, records);
    if has_failed {
        return Err(Error::General("the connection has failed before".into()));
    }
    append_data(&mut connection, data, records);
    let suite = connection
        .negotiated_cipher_suite()
        .ok_or(Error::HandshakeNotComplete)?;
    let ExtractedSecrets {
        tx: (sequence, secrets),
        ..
    } = connection.dangerous_extract_secrets()?;
    let (key, iv) = key_and_iv(secrets)?;
    let body = [FATAL, u8::from(alert)];
    let message = OutboundPlainMessage {
        typ: ContentType::Alert,
        version: ProtocolVersion::TLSv1_2, // on the wire in TLS 1.3 too
        payload: OutboundChunks::Single(&body),
    };
    let record = encrypter(suite, key, &iv)?.encrypt(message, sequence)?;
    let place = records.len();
    records.extend(record.encode());
    Ok(place)
}

/// Appends the final records of a connection that closes without a refusal: those that rustls had not sent
/// yet, one with this data if it is not empty, and close_notify, unless that or a fatal alert was sent before.
pub(crate) fn close_notify(mut connection: Connection, data: &[u8], records: &mut Vec<u8>) {
    append_pending(&mut connection, records);
    append_data(&mut connection, data, records);
    connection.send_close_notify(); // with a KeyUpdate that is due
    append_pending(&mut connection, records);
}

/// Appends a record of this data. All pending records were appended, so that rustls has space for it; what
/// it does not accept whole is lost with the connection.
fn append_data(connection: &mut Connection, data: &[u8], records: &mut Vec<u8>) {
    if !data.is_empty() && connection.writer().write(data).is_ok() {
        append_pending(connection, records);
    }
}

fn append_pending(connection: &mut Connection, records: &mut Vec<u8>) {
    while connection.wants_write() {
        // A Vec takes everything.
        let written: io::Result<usize> = connection.write_tls(records);
        if !written.is_ok_and(|count| count > 0) {
            break;
        }
    }
}

fn key_and_iv(secrets: ConnectionTrafficSecrets) -> Result<(AeadKey, Iv), Error> {
    match secrets {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv }
        | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
        | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => Ok((key, iv)),
        _ => Err(Error::General("unknown kind of traffic secrets".into())),
    }
}

fn encrypter(
    suite: SupportedCipherSuite,
    key: AeadKey,
    iv: &Iv,
) -> Result<Box<dyn MessageEncrypter>, Error> {
    match suite {
        SupportedCipherSuite::Tls13(suite) => {
            Ok(suite.aead_alg.encrypter(key, Iv::copy(iv.as_ref())))
        }
        // Extraction joined the fixed part of the nonce with the explicit one: split them again.
        SupportedCipherSuite::Tls12(suite) => {
            let fixed = suite.aead_alg.key_block_shape().fixed_iv_len;
            let (fixed, explicit) = iv
                .as_ref()
                .split_at_checked(fixed)
                .ok_or_else(|| Error::General("unknown shape of the nonce".into()))?;
            Ok(suite.aead_alg.encrypter(key, fixed, explicit))
        }
    }
}

#[cfg(all(feature = "testing", any(feature = "aws-lc-rs", feature = "ring")))]
#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::sync::Arc;

    use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

    use super::*;
    use crate::pki::provider;
    use crate::testing::TestCa;

    /// A server's connection whose handshake is over, and its client's.
    fn connected(version: &'static rustls::SupportedProtocolVersion) -> (Connection, Connection) {
        let ca = TestCa::new("Root");
        let leaf = ca.leaf().dns("server.example").issue();
        let provider = provider::built_in().expect("a provider");
        let mut server = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[version])
            .expect("a version")
            .with_no_client_auth()
            .with_single_cert(leaf.chain().to_vec(), leaf.key_der())
            .expect("a certificate");
        server.enable_secret_extraction = true;
        let mut roots = RootCertStore::empty();
        roots.add(ca.certificate_der()).expect("a root");
        let client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .expect("a version")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = "server.example".try_into().expect("a name");
        let client = ClientConnection::new(Arc::new(client), name).expect("a client");
        let server = ServerConnection::new(Arc::new(server)).expect("a server");
        let (mut server, mut client) = (Connection::from(server), Connection::from(client));
        while server.is_handshaking() || client.is_handshaking() {
            pass(&mut client, &mut server);
            pass(&mut server, &mut client);
        }
        (server, client)
    }

    fn pass(from: &mut Connection, to: &mut Connection) {
        let mut bytes = Vec::new();
        append_pending(from, &mut bytes);
        to.read_tls(&mut bytes.as_slice()).expect("bytes");
        to.process_new_packets().expect("a handshake");
    }

    /// What the peer reads, and how the connection ends for it.
    fn read(client: &mut Connection, mut records: &[u8]) -> (Vec<u8>, Result<bool, Error>) {
        let mut data = Vec::new();
        while !records.is_empty() {
            client.read_tls(&mut records).expect("bytes");
            let processed = client.process_new_packets();
            let _ = client.reader().read_to_end(&mut data); // at the end of the data: WouldBlock
            match processed {
                Ok(state) if state.peer_has_closed() => return (data, Ok(true)),
                Ok(_) => {}
                Err(error) => return (data, Err(error)),
            }
        }
        (data, Ok(false))
    }

    /// More records than rustls writes at once.
    const MANY: usize = 200;

    #[test]
    fn what_was_not_sent_yet_and_the_last_data_come_before_the_end() {
        for version in rustls::ALL_VERSIONS {
            for data in [&b""[..], b"the end"] {
                for is_refusal in [true, false] {
                    let (mut server, mut client) = connected(version);
                    for _ in 0..MANY {
                        server.writer().write_all(b"x").expect("space");
                    }
                    let mut records = Vec::new();
                    let end = if is_refusal {
                        let alert = AlertDescription::AccessDenied;
                        let place = fatal_alert(server, alert, data, &mut records);
                        assert!(place.is_ok_and(|place| place < records.len()));
                        Err(Error::AlertReceived(alert))
                    } else {
                        close_notify(server, data, &mut records);
                        Ok(true)
                    };
                    let all = [&[b'x'; MANY][..], data].concat();
                    assert_eq!(read(&mut client, &records), (all, end), "{version:?}");
                }
            }
        }
    }
}
