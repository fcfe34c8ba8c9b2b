//! The error codes that an open connection is closed with.

use quinn::VarInt;
use rustls::AlertDescription;

/// The first of the 256 application error codes with which this crate closes a QUIC connection: the letters
/// `mtl` and the number of an alert of TLS.
///
/// | code | meaning |
/// |---|---|
/// | `0x6d746c00` | closed without a rejection: shutdown, maximum age, new credentials, by the application (close_notify) |
/// | `0x6d746c31` | denied by policy or deny list (access_denied, 49) |
/// | `0x6d746c2c` | revoked (certificate_revoked, 44) |
/// | `0x6d746c2d` | expired (certificate_expired, 45) |
/// | `0x6d746c30` | issued by a CA that is not trusted any more (unknown_ca, 48) |
///
/// The reason phrase of the frame is a stable code, such as `deny_listed`. A peer that is rejected inside the
/// handshake gets QUIC's own code instead, 0x0100 plus the alert (RFC 9001 section 4.8): only an application
/// can close a connection after that.
///
/// ```
/// use countersign::integration::quinn::CLOSE_CODE;
/// use countersign::rustls::AlertDescription;
///
/// /// For a client that uses quinn without this crate.
/// fn alert(code: quinn::VarInt) -> Option<AlertDescription> {
///     let alert = code.into_inner().checked_sub(u64::from(CLOSE_CODE))?;
///     Some(u8::try_from(alert).ok()?.into())
/// }
///
/// assert_eq!(alert(0x6d74_6c31_u32.into()), Some(AlertDescription::AccessDenied));
/// assert_eq!(alert(0_u32.into()), None);
/// ```
pub const CLOSE_CODE: u32 = 0x6d74_6c00;

/// The code for this alert; `None` is close_notify.
pub(super) fn code_of(alert: Option<AlertDescription>) -> VarInt {
    let alert = alert.unwrap_or(AlertDescription::CloseNotify);
    VarInt::from_u32(CLOSE_CODE | u32::from(u8::from(alert)))
}

/// The alert with which the peer rejects us; `None` if it closes without rejecting us, or with a code of the
/// application.
pub(super) fn rejection(code: VarInt) -> Option<AlertDescription> {
    let alert = code.into_inner().checked_sub(u64::from(CLOSE_CODE))?;
    let alert = AlertDescription::from(u8::try_from(alert).ok()?);
    (alert != AlertDescription::CloseNotify).then_some(alert)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_codes_of_this_crate_are_alerts() {
        for alert in [AlertDescription::AccessDenied, AlertDescription::from(255)] {
            assert_eq!(rejection(code_of(Some(alert))), Some(alert));
        }
        assert_eq!(rejection(code_of(None)), None);
        for code in [
            0,
            0x0131,
            u64::from(CLOSE_CODE) - 1,
            u64::from(CLOSE_CODE) + 256,
        ] {
            assert_eq!(rejection(VarInt::from_u64(code).expect("small")), None);
        }
    }
}
