//! How a late refusal speaks.
//!
//! rustls can send no alert of our choosing once the handshake is over. But it can hand out the
//! traffic secrets of a connection that ends: so the connection is taken apart, and the one record
//! that is left to send, a fatal alert, is sealed here with rustls' own record encryption.

use rustls::crypto::cipher::{AeadKey, Iv, MessageEncrypter, OutboundChunks, OutboundPlainMessage};
use rustls::{
    AlertDescription, ConnectionTrafficSecrets, ContentType, Error, ExtractedSecrets,
    ProtocolVersion, SupportedCipherSuite,
};

/// Ends a connection and returns the TLS record that tells the peer so.
///
/// Everything that rustls had to send must have been written, and the connection's configuration
/// must allow secret extraction; else nothing can be sealed and the caller just closes.
pub(crate) fn fatal_alert(
    connection: impl Into<rustls::Connection>,
    alert: AlertDescription,
) -> Result<Vec<u8>, Error> {
    const FATAL: u8 = 2;

    let connection = connection.into();
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
    Ok(record.encode())
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
