//! Values as text, and text that is safe to print.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use countersign::pki_types::UnixTime;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Reads a time such as `2026-11-21T09:30:00Z`.
pub fn parse_time(text: &str) -> Result<UnixTime, String> {
    let time = OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|_| "not a time as in 2026-11-21T09:30:00Z (RFC 3339)")?;
    let seconds = u64::try_from(time.unix_timestamp()).map_err(|_| "before 1970")?;
    Ok(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
}

pub(super) fn time(time: UnixTime) -> String {
    i64::try_from(time.as_secs())
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| "9999-12-31T23:59:59Z".into()) // the last time that a certificate can hold
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // a String cannot fail
        text
    })
}

/// `None` for octets that are not an address.
pub(super) fn ip_address(octets: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    let v6 = <[u8; 16]>::try_from(octets).map(IpAddr::from);
    v4.or(v6).ok().map(|address| address.to_string())
}

/// The text of a short UTF8String in DER, such as a user principal name.
pub(super) fn utf8_string(der: &[u8]) -> Option<String> {
    const UTF8_STRING: u8 = 0x0c;
    match der {
        [UTF8_STRING, length @ 0..=0x7f, text @ ..] if usize::from(*length) == text.len() => {
            String::from_utf8(text.to_vec()).ok()
        }
        _ => None,
    }
}

/// Untrusted text for people: escapes control, invisible and reordering characters.
pub(super) fn on_one_line(text: &str) -> String {
    text.chars()
        .map(|character| match character {
            '\\' | '\'' | '"' => character.to_string(),
            other => other.escape_debug().to_string(),
        })
        .collect()
}

/// The same JSON in ASCII, so that a terminal shows every character.
pub(super) fn ascii_json(json: &str) -> String {
    let mut ascii = String::with_capacity(json.len());
    for character in json.chars() {
        // JSON has other characters in strings only, and the new line is its only control character.
        if character.is_ascii() && character != '\u{7f}' {
            ascii.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(ascii, "\\u{unit:04x}");
            }
        }
    }
    ascii
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_shown() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2026-11-21T09:30:00Z", 1_795_253_400),
            ("2026-11-21T10:30:00.5+01:00", 1_795_253_400),
        ] {
            let parsed = parse_time(text).expect(text);
            assert_eq!(parsed.as_secs(), seconds, "{text}");
        }
        let whole = "2026-11-21T09:30:00Z";
        assert_eq!(parse_time(whole).map(time).as_deref(), Ok(whole));
        for bad in [
            "",
            "now",
            "2026-11-21",
            "2026-11-21T09:30:00",
            "1969-12-31T23:59:59Z",
        ] {
            assert!(parse_time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn untrusted_text_cannot_control_a_terminal() {
        assert_eq!(on_one_line("é 例 \\ \" '"), "é 例 \\ \" '");
        assert_eq!(
            on_one_line("a\u{1b}[2J\u{202e}\u{200b}"),
            "a\\u{1b}[2J\\u{202e}\\u{200b}"
        );
        assert_eq!(
            ascii_json("\"é\u{7f}\u{1f600}\""),
            "\"\\u00e9\\u007f\\ud83d\\ude00\""
        );
    }
}
