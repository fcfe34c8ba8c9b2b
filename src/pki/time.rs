//! Times: printing, parsing and bounds.

use std::fmt;
use std::time::Duration;

use rustls_pki_types::UnixTime;
use time::format_description::well_known;
use time::{Date, Month, OffsetDateTime};

use super::der::{NotDer, Tlv};
use super::text::Escaped;

/// Prints a time as RFC 3339 in UTC: `2026-11-21T09:30:00Z`.
pub(crate) struct Rfc3339(pub(crate) UnixTime);

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let text = i64::try_from(seconds)
            .ok()
            .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
            .and_then(|time| time.format(&well_known::Rfc3339).ok());
        match text {
            Some(text) => f.write_str(&text),
            // After the year 9999.
            None => write!(f, "{seconds} s after 1970"),
        }
    }
}

/// The longest duration that is used: 30 years, as in tokio.
#[cfg(feature = "tokio")]
pub(crate) const FAR: Duration = Duration::from_secs(30 * 365 * 86_400);

/// The duration, at most [`FAR`]. Applications pass `Duration::MAX` for "no limit", and adding that to
/// an instant panics. Every duration of the public API that is added to an instant is limited here.
#[cfg(feature = "tokio")]
pub(crate) const fn at_most_far(duration: Duration) -> Duration {
    if duration.as_secs() < FAR.as_secs() {
        duration
    } else {
        FAR
    }
}

pub(crate) const UTC_TIME: u8 = 0x17;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;

/// Parses a `Time` in the form of RFC 5280 section 4.1.2.5: in UTC, to the second. Times before 1970
/// count as 1970.
pub(crate) fn read(tlv: Tlv<'_>) -> Result<UnixTime, NotDer> {
    let (year, rest) = match (tlv.tag, tlv.content) {
        (UTC_TIME, [y1, y2, rest @ ..]) => {
            let year = number(&[*y1, *y2])?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        (GENERALIZED_TIME, [y1, y2, y3, y4, rest @ ..]) => (number(&[*y1, *y2, *y3, *y4])?, rest),
        _ => return Err(NotDer),
    };
    let [mo1, mo2, d1, d2, h1, h2, mi1, mi2, s1, s2, b'Z'] = *rest else {
        return Err(NotDer);
    };
    let two = |a, b| number(&[a, b]).and_then(|value| u8::try_from(value).map_err(|_| NotDer));
    let (month, day) = (two(mo1, mo2)?, two(d1, d2)?);
    let (hour, minute, second) = (two(h1, h2)?, two(mi1, mi2)?, two(s1, s2)?);
    let time = Month::try_from(month)
        .and_then(|month| Date::from_calendar_date(i32::from(year), month, day))
        .and_then(|date| date.with_hms(hour, minute, second))
        .map_err(|_| NotDer)?;
    let seconds = time.assume_utc().unix_timestamp();
    Ok(UnixTime::since_unix_epoch(Duration::from_secs(
        u64::try_from(seconds).unwrap_or(0),
    )))
}

/// Why [`read`] rejects a time, with its text.
pub(crate) struct Malformed<'a>(pub(crate) Tlv<'a>);

impl fmt::Display for Malformed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = String::from_utf8_lossy(self.0.content);
        let (kind, years) = match self.0.tag {
            UTC_TIME => ("UTCTime", 2),
            GENERALIZED_TIME => ("GeneralizedTime", 4),
            tag => {
                return write!(
                    f,
                    "it is neither UTCTime nor GeneralizedTime (tag 0x{tag:02x})"
                );
            }
        };
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let rest = text.get(digits..).unwrap_or_default();
        let why = if rest.starts_with(['.', ',']) {
            "has fractions of a second"
        } else if rest.starts_with(['+', '-']) {
            "has an offset from UTC and not the Z"
        } else if digits == years + 8 && matches!(rest, "Z" | "") {
            "lacks the seconds"
        } else if digits == years + 10 && rest.is_empty() {
            "lacks the Z for UTC"
        } else if digits == years + 10 && rest == "Z" {
            "is no date of the calendar"
        } else {
            "has another form"
        };
        write!(f, "{kind} \"{}\" is not DER: it {why}", Escaped(&text))
    }
}

fn number(digits: &[u8]) -> Result<u16, NotDer> {
    digits.iter().try_fold(0, |sum: u16, digit| match digit {
        b'0'..=b'9' => Ok(sum * 10 + u16::from(digit - b'0')),
        _ => Err(NotDer),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::der::Reader;

    #[test]
    fn prints_utc_and_survives_any_value() {
        let at = |seconds| Rfc3339(UnixTime::since_unix_epoch(Duration::from_secs(seconds)));
        assert_eq!(at(0).to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(at(1_795_253_400).to_string(), "2026-11-21T09:30:00Z");
        assert_eq!(
            at(u64::MAX).to_string(),
            "18446744073709551615 s after 1970"
        );
    }

    #[test]
    fn a_malformed_time_is_shown_with_its_reason() {
        let says = |tag: u8, text: &str| {
            let length = u8::try_from(text.len()).expect("short");
            let der = [&[tag, length], text.as_bytes()].concat();
            Malformed(Reader::new(&der).any().expect("a TLV")).to_string()
        };
        for (tag, text, why) in [
            (UTC_TIME, "2611210930Z", "lacks the seconds"),
            (UTC_TIME, "2611210930+0100", "an offset from UTC"),
            (UTC_TIME, "261121093000+0000", "an offset from UTC"),
            (UTC_TIME, "261121093000", "lacks the Z"),
            (UTC_TIME, "260230093000Z", "no date of the calendar"),
            (UTC_TIME, "x", "another form"),
            (
                GENERALIZED_TIME,
                "20261121093000.5Z",
                "fractions of a second",
            ),
            (GENERALIZED_TIME, "202611210930Z", "lacks the seconds"),
        ] {
            let said = says(tag, text);
            assert!(said.contains(why) && said.contains(text), "{said}");
        }
        assert!(says(0x0c, "2026").contains("tag 0x0c"));
        assert!(says(UTC_TIME, "\n").contains("\\u{a}"));
    }

    #[test]
    fn reads_both_forms_and_nothing_else() {
        let read_as = |tag: u8, text: &str| {
            let length = u8::try_from(text.len()).expect("short");
            let der = [&[tag, length], text.as_bytes()].concat();
            Reader::new(&der)
                .any()
                .and_then(read)
                .map(|time| time.as_secs())
        };
        assert_eq!(read_as(UTC_TIME, "261121093000Z"), Ok(1_795_253_400));
        assert_eq!(
            read_as(GENERALIZED_TIME, "20261121093000Z"),
            Ok(1_795_253_400)
        );
        assert_eq!(read_as(UTC_TIME, "500101000000Z"), Ok(0), "1950");
        for (tag, text) in [
            (UTC_TIME, ""),
            (UTC_TIME, "2611210930Z"),
            (UTC_TIME, "261121093000"),
            (UTC_TIME, "261121093000+0100"),
            (UTC_TIME, "261321093000Z"),
            (UTC_TIME, "260230093000Z"),
            (UTC_TIME, "261121246000Z"),
            (UTC_TIME, "2611210930 0Z"),
            (GENERALIZED_TIME, "20261121093000.5Z"),
            (0x16, "261121093000Z"),
        ] {
            assert_eq!(read_as(tag, text), Err(NotDer), "{text}");
        }
    }
}
